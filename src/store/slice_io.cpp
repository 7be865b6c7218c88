#include "store/slice_io.hpp"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <span>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLanes = 2;         // threads of a rank that write: one hashes while the other is in write()
constexpr std::size_t kStep = 256 << 10;  // bytes written and hashed at once, while they are in the cache

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

StoreError io_error(const std::string& what, const fs::path& path) {
  return StoreError("cannot " + what + " '" + path.string() + "'", std::strerror(errno));
}

void write_at(const Descriptor& file, std::uint64_t position, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    heartbeat::beat();
    const ssize_t written = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw io_error("write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    position += static_cast<std::uint64_t>(written);
  }
}

void read_at(const Descriptor& file, std::uint64_t position, std::span<std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    heartbeat::beat();
    const ssize_t got = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("read", path);
    if (got == 0) throw StoreError("cannot read '" + path.string() + "'", "it ends too early");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    position += static_cast<std::uint64_t>(got);
  }
}

// Writes `bytes` and gives their SHA-256.
std::string write_and_hash(const Descriptor& file, std::uint64_t position, std::span<const std::byte> bytes,
                           const fs::path& path) {
  Sha256 hash;
  for (std::size_t done = 0; done < bytes.size(); done += kStep) {
    const auto step = bytes.subspan(done, std::min(kStep, bytes.size() - done));
    write_at(file, position + done, step, path);
    hash.update(step);
  }
  return hash.hex();
}

std::uint64_t place_of(const std::vector<TensorEntry>& tensors, const StateFile& places, std::size_t tensor,
                       std::size_t slice) {
  return places.positions[tensor] +
         static_cast<std::uint64_t>(tensors[tensor].slices[slice].offset * tensors[tensor].element_bytes());
}

// Counts up, and lets others wait until it has passed a number.
class Progress {
 public:
  void advance() {
    ++done_;
    done_.notify_all();
  }
  void wait_for(std::size_t count) const {
    for (std::size_t done = done_; done < count; done = done_) done_.wait(done);
  }

 private:
  std::atomic<std::size_t> done_{0};
};

// Reads this rank's slices ahead of whoever waits for them: one thread reads, in the order of the file, so that the
// kernel reads ahead too; another compares the hashes.
class SliceReader {
 public:
  SliceReader(const fs::path& path, const Manifest& manifest, const StateFile& places, const StateTensors& target,
              std::vector<Assignment> mine)
      : path_(path),
        manifest_(manifest),
        places_(places),
        target_(target),
        mine_(std::move(mine)),
        faults_(mine_.size()),
        reading_(std::async(std::launch::async, [this] { read_all(); })),
        verifying_(std::async(std::launch::async, [this] { verify_all(); })) {}

  void wait_for(std::size_t count) { verified_.wait_for(std::min(count, mine_.size())); }

  // Of the first slice that could not be used, or "". All slices must have been waited for.
  std::string fault() const {
    for (const std::string& fault : faults_) {
      if (!fault.empty()) return fault;
    }
    return "";
  }

 private:
  at::Tensor elements(std::size_t i) const {
    const Slice& slice = manifest_.tensors[mine_[i].tensor].slices[mine_[i].slice];
    return target_[mine_[i].tensor].second.view({-1}).narrow(0, slice.offset, slice.count);
  }

  void read_all() {
    const Descriptor file(path_, O_RDONLY);
    const std::string problem = file.valid() ? "" : io_error("open", path_).what();
    for (std::size_t i = 0; i < mine_.size(); ++i, read_.advance()) {
      try {
        if (!problem.empty()) throw StoreError(problem);
        read_at(file, place_of(manifest_.tensors, places_, mine_[i].tensor, mine_[i].slice), bytes_of(elements(i)),
                path_);
      } catch (const std::exception& error) {
        faults_[i] = error.what();
      }
    }
  }

  void verify_all() {
    for (std::size_t i = 0; i < mine_.size(); ++i, verified_.advance()) {
      read_.wait_for(i + 1);
      const TensorEntry& tensor = manifest_.tensors[mine_[i].tensor];
      const Slice& slice = tensor.slices[mine_[i].slice];
      if (!faults_[i].empty() || sha256_hex(bytes_of(elements(i))) == slice.sha256) continue;
      faults_[i] = "cannot use tensor '" + tensor.name + "' (elements " + std::to_string(slice.offset) + " to " +
                   std::to_string(slice.offset + slice.count) + " differ from what was written)";
    }
  }

  const fs::path& path_;
  const Manifest& manifest_;
  const StateFile& places_;
  const StateTensors& target_;
  std::vector<Assignment> mine_;
  std::vector<std::string> faults_;  // each written by the thread that has the slice
  Progress read_, verified_;
  std::future<void> reading_, verifying_;  // last: they use the members above
};

std::vector<Assignment> of_rank(const std::vector<Assignment>& all, int rank) {
  std::vector<Assignment> mine;
  for (const Assignment& one : all) {
    if (one.rank == rank) mine.push_back(one);
  }
  return mine;
}

// Only a hint: the faults of small pages take a third of the time of reading into fresh memory (2.0 against 3.1 GB/s).
void prefer_large_pages(const at::Tensor& tensor) {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor.mutable_data_ptr());
  const std::uintptr_t first = (begin + kPage - 1) / kPage * kPage, last = (begin + tensor.nbytes()) / kPage * kPage;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

StateTensors allocate(const Manifest& manifest) {
  StateTensors tensors;
  for (const TensorEntry& entry : manifest.tensors) {
    tensors.emplace_back(entry.name, at::empty(entry.shape, at::TensorOptions(dtype_of(entry.dtype))));
    prefer_large_pages(tensors.back().second);
  }
  return tensors;
}

}  // namespace

std::vector<std::string> write_pieces(const fs::path& path, const std::vector<TensorEntry>& tensors,
                                      const StateFile& places, const std::vector<Piece>& pieces) {
  const Descriptor file(path, O_WRONLY);
  if (!file.valid()) throw io_error("open", path);
  std::vector<std::string> hashes(pieces.size());
  const auto write = [&](std::size_t i) {
    const std::uint64_t place = place_of(tensors, places, pieces[i].tensor, pieces[i].slice);
    const std::span<const std::byte> bytes = bytes_of(pieces[i].elements);
    hashes[i] = write_and_hash(file, place, bytes, path);
    // Only a hint: the disk starts on this slice at once instead of at the fsync.
    ::sync_file_range(file.get(), static_cast<off_t>(place), static_cast<off_t>(bytes.size()), SYNC_FILE_RANGE_WRITE);
  };
  std::vector<std::future<void>> lanes;
  for (std::size_t lane = 0; lane < std::min(kLanes, pieces.size()); ++lane) {
    lanes.push_back(std::async(std::launch::async, [&pieces, &write, lane] {
      for (std::size_t i = lane; i < pieces.size(); i += kLanes) write(i);
    }));
  }
  for (const std::future<void>& lane : lanes) lane.wait();
  for (std::future<void>& lane : lanes) lane.get();
  if (::fsync(file.get()) != 0) throw io_error("fsync", path);
  return hashes;
}

StateTensors read_tensors(Communicator& comm, const fs::path& path, const Manifest& manifest, const StateFile& places,
                          std::string& fault) {
  StateTensors tensors;
  std::unique_ptr<SliceReader> reader;
  const std::vector<Assignment> all = in_turns(manifest.tensors, comm.size());
  on_every_rank(comm, [&] {
    tensors = allocate(manifest);
    reader = std::make_unique<SliceReader>(path, manifest, places, tensors, of_rank(all, comm.rank()));
  });
  // A round is a turn of every rank. Each sleeps until its own slices are there, and so meets the others awake only.
  const std::size_t round = kTurn * static_cast<std::size_t>(comm.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % round == 0) reader->wait_for((i / round + 1) * kTurn);
    const Slice& slice = manifest.tensors[all[i].tensor].slices[all[i].slice];
    const at::Tensor elements = tensors[all[i].tensor].second.view({-1}).narrow(0, slice.offset, slice.count);
    if (comm.size() > 1) comm.broadcast(bytes_of(elements), all[i].rank);
  }
  const std::vector<std::string> faults = comm.all_gather(reader->fault());
  for (std::size_t rank = 0; rank < faults.size() && fault.empty(); ++rank) {
    if (!faults[rank].empty()) fault = "rank " + std::to_string(rank) + ": " + faults[rank];
  }
  return tensors;
}

}  // namespace tercet::store
