#include "store/slice_io.hpp"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <future>
#include <latch>
#include <span>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kReadLanes = 2;  // one hashes while the other waits for the disk

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

std::uint64_t place_of(const std::vector<TensorEntry>& tensors, const StateFile& places, std::size_t tensor,
                       std::size_t slice) {
  return places.positions[tensor] +
         static_cast<std::uint64_t>(tensors[tensor].slices[slice].offset * tensors[tensor].element_bytes());
}

// Reads this rank's slices ahead of whoever waits for them.
class SliceReader {
 public:
  SliceReader(const fs::path& path, const Manifest& manifest, const StateFile& places, const StateTensors& target,
              std::vector<Assignment> mine)
      : path_(path),
        manifest_(manifest),
        places_(places),
        target_(target),
        mine_(std::move(mine)),
        file_(path, O_RDONLY),
        open_error_(errno),
        faults_(mine_.size()) {
    for (std::size_t i = 0; i < mine_.size(); ++i) done_.emplace_back(1);
    for (std::size_t lane = 0; lane < kReadLanes; ++lane) {
      lanes_.push_back(std::async(std::launch::async, [this, lane] {
        for (std::size_t i = lane; i < mine_.size(); i += kReadLanes) read(i);
      }));
    }
  }

  void wait_for(std::size_t i) { done_[i].wait(); }

  // Of the first slice that could not be used, or "". All slices must have been waited for.
  std::string fault() const {
    for (const std::string& fault : faults_) {
      if (!fault.empty()) return fault;
    }
    return "";
  }

 private:
  void read(std::size_t i) {
    const TensorEntry& tensor = manifest_.tensors[mine_[i].tensor];
    const Slice& slice = tensor.slices[mine_[i].slice];
    try {
      if (!file_.valid()) throw StoreError("cannot open '" + path_.string() + "'", std::strerror(open_error_));
      const at::Tensor elements = target_[mine_[i].tensor].second.view({-1}).narrow(0, slice.offset, slice.count);
      read_at(file_, place_of(manifest_.tensors, places_, mine_[i].tensor, mine_[i].slice), bytes_of(elements), path_);
      if (sha256_hex(bytes_of(elements)) != slice.sha256) {
        throw StoreError("cannot use tensor '" + tensor.name + "'",
                         "elements " + std::to_string(slice.offset) + " to " +
                             std::to_string(slice.offset + slice.count) + " differ from what was written");
      }
    } catch (const std::exception& error) {
      faults_[i] = error.what();
    }
    done_[i].count_down();
  }

  const fs::path& path_;
  const Manifest& manifest_;
  const StateFile& places_;
  const StateTensors& target_;
  std::vector<Assignment> mine_;
  Descriptor file_;
  int open_error_;
  std::vector<std::string> faults_;  // each written by one lane, read after its latch
  std::deque<std::latch> done_;
  std::vector<std::future<void>> lanes_;  // last: they use the members above
};

std::vector<Assignment> of_rank(const std::vector<Assignment>& all, int rank) {
  std::vector<Assignment> mine;
  for (const Assignment& one : all) {
    if (one.rank == rank) mine.push_back(one);
  }
  return mine;
}

StateTensors allocate(const Manifest& manifest) {
  StateTensors tensors;
  for (const TensorEntry& entry : manifest.tensors) {
    tensors.emplace_back(entry.name, at::empty(entry.shape, at::TensorOptions(dtype_of(entry.dtype))));
  }
  return tensors;
}

}  // namespace

std::vector<std::string> write_pieces(const fs::path& path, const std::vector<TensorEntry>& tensors,
                                      const StateFile& places, const std::vector<Piece>& pieces) {
  auto hashing = std::async(std::launch::async, [&pieces] {
    std::vector<std::string> hashes;
    for (const Piece& piece : pieces) hashes.push_back(sha256_hex(bytes_of(piece.elements)));
    return hashes;
  });
  const Descriptor file(path, O_WRONLY);
  if (!file.valid()) throw io_error("open", path);
  for (const Piece& piece : pieces) {
    const std::uint64_t place = place_of(tensors, places, piece.tensor, piece.slice);
    write_at(file, place, bytes_of(piece.elements), path);
    // Only a hint: the disk starts on this slice at once instead of at the fsync.
    ::sync_file_range(file.get(), static_cast<off_t>(place), static_cast<off_t>(piece.elements.nbytes()),
                      SYNC_FILE_RANGE_WRITE);
  }
  if (::fsync(file.get()) != 0) throw io_error("fsync", path);
  return hashing.get();
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
  std::size_t next = 0;
  for (const Assignment& one : all) {
    if (one.rank == comm.rank()) reader->wait_for(next++);
    const Slice& slice = manifest.tensors[one.tensor].slices[one.slice];
    const at::Tensor elements = tensors[one.tensor].second.view({-1}).narrow(0, slice.offset, slice.count);
    if (comm.size() > 1) comm.broadcast(bytes_of(elements), one.rank);
  }
  const std::vector<std::string> faults = comm.all_gather(reader->fault());
  for (std::size_t rank = 0; rank < faults.size() && fault.empty(); ++rank) {
    if (!faults[rank].empty()) fault = "rank " + std::to_string(rank) + ": " + faults[rank];
  }
  return tensors;
}

}  // namespace tercet::store
