#include "store/slice_io.hpp"

#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <span>

#include "tercet/base/environment.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLanes = 2;         // threads of a rank: one hashes while the other is in write() or read()
constexpr std::size_t kStep = 256 << 10;  // bytes written or read, and hashed, at once: while they are in the cache

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

// Writes `bytes` and gives their XXH3.
std::string write_and_hash(const Descriptor& file, std::uint64_t position, std::span<const std::byte> bytes,
                           const fs::path& path) {
  Xxh3 hash;
  for (std::size_t done = 0; done < bytes.size(); done += kStep) {
    const auto step = bytes.subspan(done, std::min(kStep, bytes.size() - done));
    write_at(file, position + done, step, path);
    hash.update(step);
  }
  return hash.hex();
}

std::uint64_t place_of(const TensorEntry& tensor, std::size_t slice) {
  return tensor.position + static_cast<std::uint64_t>(tensor.slices[slice].offset * tensor.element_bytes());
}

// Reads the slice through `buffer` and compares its hash. What is read stays in the page cache, where the mapping finds
// it.
void verify(const Descriptor& file, const TensorEntry& tensor, std::size_t number, std::span<std::byte> buffer,
            const fs::path& path) {
  const Slice& slice = tensor.slices[number];
  std::uint64_t position = place_of(tensor, number);
  auto rest = static_cast<std::uint64_t>(slice.count * tensor.element_bytes());
  Xxh3 hash;
  while (rest > 0) {
    heartbeat::beat();
    const auto got =
        ::pread(file.get(), buffer.data(), std::min<std::uint64_t>(buffer.size(), rest), static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("read", path);
    if (got == 0) throw StoreError("cannot read '" + path.string() + "'", "it ends too early");
    hash.update(buffer.first(static_cast<std::size_t>(got)));
    position += static_cast<std::uint64_t>(got);
    rest -= static_cast<std::uint64_t>(got);
  }
  if (hash.hex() == slice.xxh3) return;
  throw StoreError("cannot use tensor '" + tensor.name + "'", "elements " + std::to_string(slice.offset) + " to " +
                                                                  std::to_string(slice.offset + slice.count) +
                                                                  " differ from what was written");
}

// A share of the slices. What was wrong with the first bad one, or "".
std::string fault_in_share(const fs::path& path, const Manifest& manifest, int share, int shares) {
  std::vector<std::byte> buffer(kStep);
  try {
    const Descriptor file(path, O_RDONLY);
    if (!file.valid()) throw io_error("open", path);
    for (const Assignment& one : in_runs(manifest.tensors, shares)) {
      if (one.rank == share) verify(file, manifest.tensors[one.tensor], one.slice, buffer, path);
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// The same in threads: a memory copy in read() keeps one busy.
std::string fault_in_lanes(const fs::path& path, const Manifest& manifest, int share, int shares) {
  constexpr int kCount = kLanes;
  std::vector<std::future<std::string>> lanes;
  for (int lane = 0; lane < kCount; ++lane) {
    lanes.push_back(std::async(std::launch::async, [&, lane] {
      return fault_in_share(path, manifest, share * kCount + lane, shares * kCount);
    }));
  }
  std::string fault;
  for (std::future<std::string>& lane : lanes) {
    const std::string found = lane.get();
    if (fault.empty()) fault = found;
  }
  return fault;
}

// The tensors in the mapping, which lives as long as any of them.
StateTensors tensors_in(const std::shared_ptr<const MappedFile>& file, const Manifest& manifest) {
  StateTensors tensors;
  for (const TensorEntry& entry : manifest.tensors) {
    auto* begin = const_cast<std::byte*>(file->bytes().data() + entry.position);
    tensors.emplace_back(entry.name,
                         at::from_blob(
                             begin, entry.shape, [file](void*) {}, at::TensorOptions(dtype_of(entry.dtype))));
  }
  return tensors;
}

// The ranks of a node have one page cache, so together they verify everything once on each node.
std::pair<int, int> share_on_node(Communicator& comm) {
  const std::vector<std::string> names = comm.all_gather(host_name());
  const auto mine = names.begin() + comm.rank();
  return {static_cast<int>(std::count(names.begin(), mine, *mine)),
          static_cast<int>(std::count(names.begin(), names.end(), *mine))};
}

}  // namespace

std::vector<std::string> write_pieces(const fs::path& path, const std::vector<TensorEntry>& tensors,
                                      const std::vector<Piece>& pieces) {
  const Descriptor file(path, O_WRONLY);
  if (!file.valid()) throw io_error("open", path);
  std::vector<std::string> hashes(pieces.size());
  const auto write = [&](std::size_t i) {
    const std::uint64_t place = place_of(tensors[pieces[i].tensor], pieces[i].slice);
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

StateTensors read_tensors(Communicator& comm, const fs::path& path, const Manifest& manifest, std::string& fault) {
  const auto [share, shares] = share_on_node(comm);
  const std::vector<std::string> faults = comm.all_gather(fault_in_lanes(path, manifest, share, shares));
  for (std::size_t rank = 0; rank < faults.size() && fault.empty(); ++rank) {
    if (!faults[rank].empty()) fault = "rank " + std::to_string(rank) + ": " + faults[rank];
  }
  StateTensors tensors;
  if (!fault.empty()) return tensors;
  on_every_rank(comm, [&] { tensors = tensors_in(std::make_shared<const MappedFile>(path), manifest); });
  return tensors;
}

}  // namespace tercet::store
