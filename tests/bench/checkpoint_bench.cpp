// How fast a checkpoint is written and read, against the plain disk in the same minute, in pieces of 4 MiB. The disk:
// each rank writes its part of one file and one fsync; each rank reads its part into one buffer. Taking up: the
// checkpoint is loaded and copied into tensors that are there, as training does, against each rank reading the whole
// file into memory that is there. Files leave the page cache before they are read. The ratio is taken round by round:
// disks of virtual machines vary by the minute.
//
// usage: checkpoint_bench FOLDER MEGABYTES ROUNDS   (under mpirun for several ranks; see checkpoint.sh)
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/store/checkpoint.hpp"

namespace {

using namespace tercet;
namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{4} << 20;

// Seconds from when all ranks begin to when all are done.
double timed(Communicator& comm, const std::function<void()>& action) {
  comm.barrier();
  const auto begin = std::chrono::steady_clock::now();
  action();
  comm.barrier();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void require(bool good, const std::string& what) {
  if (!good) throw StoreError("the benchmark cannot " + what);
}

// This rank's part of `bytes`.
std::pair<std::size_t, std::size_t> part(const Communicator& comm, std::size_t bytes) {
  const auto rank = static_cast<std::size_t>(comm.rank()), ranks = static_cast<std::size_t>(comm.size());
  return {bytes * rank / ranks, bytes * (rank + 1) / ranks};
}

void write_raw(const Communicator& comm, const fs::path& path, const at::Tensor& data) {
  const Descriptor file(path, O_WRONLY | O_CREAT);
  const auto [begin, end] = part(comm, data.nbytes());
  for (std::size_t at = begin; at < end; at += std::min(kPiece, end - at)) {
    const auto* source = static_cast<const char*>(data.const_data_ptr()) + at;
    const std::size_t count = std::min(kPiece, end - at);
    require(::pwrite(file.get(), source, count, static_cast<off_t>(at)) == static_cast<ssize_t>(count), "write");
  }
  require(::fsync(file.get()) == 0, "fsync");
}

// The bytes from `begin` to `end` into a buffer of kPiece, or where they belong in `whole`.
void read_raw(const fs::path& path, std::size_t begin, std::size_t end, char* whole) {
  const Descriptor file(path, O_RDONLY);
  const std::unique_ptr<char[]> buffer(new char[kPiece]());
  for (std::size_t at = begin; at < end; at += std::min(kPiece, end - at)) {
    const std::size_t count = std::min(kPiece, end - at);
    char* const target = whole == nullptr ? buffer.get() : whole + at;
    require(::pread(file.get(), target, count, static_cast<off_t>(at)) == static_cast<ssize_t>(count), "read");
  }
}

void leave_cache(Communicator& comm, const fs::path& path) {
  on_root(comm, [&] {
    const Descriptor file(path, O_RDONLY);
    require(::fsync(file.get()) == 0 && ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0, "drop the cache");
    return std::string();
  });
}

// Matrices of 16 MiB and, for every one of them, eight vectors of 3 KiB.
StateTensors state_of(const at::Tensor& data) {
  constexpr std::int64_t kMatrix = 4 << 20, kVector = 768;
  StateTensors state;
  std::int64_t used = 0;
  const auto take = [&](std::int64_t count) {
    count = std::min(count, data.numel() - used);
    if (count > 0) state.emplace_back("tensor." + std::to_string(state.size()), data.narrow(0, used, count));
    used += count;
  };
  while (used < data.numel()) {
    take(kMatrix);
    for (int i = 0; i < 8; ++i) take(kVector);
  }
  return state;
}

struct Round {
  double raw_write, write, raw_read, read, raw_whole, take_up;
};

StateTensors load(Communicator& comm, const fs::path& checkpoints) {
  std::optional<Checkpoint> checkpoint = load_newest_checkpoint(comm, checkpoints, "bench");
  require(checkpoint.has_value(), "load");
  return std::move(checkpoint->tensors);
}

void measure_reading(Communicator& comm, const fs::path& raw, const fs::path& checkpoints, const at::Tensor& data,
                     Round& round) {
  const fs::path state = checkpoints / "step-00000001" / "state.h5";
  const auto [begin, end] = part(comm, data.nbytes());
  const at::Tensor there = data.clone();  // touched
  leave_cache(comm, raw);
  round.raw_read = timed(comm, [&, begin = begin, end = end] { read_raw(raw, begin, end, nullptr); });
  leave_cache(comm, state);
  round.read = timed(comm, [&] { load(comm, checkpoints); });
  leave_cache(comm, raw);
  round.raw_whole = timed(comm, [&] { read_raw(raw, 0, data.nbytes(), static_cast<char*>(there.mutable_data_ptr())); });
  leave_cache(comm, state);
  const StateTensors targets = state_of(there);
  round.take_up = timed(comm, [&] {
    const StateTensors loaded = load(comm, checkpoints);
    for (std::size_t i = 0; i < loaded.size(); ++i) targets[i].second.copy_(loaded[i].second);
  });
  require(at::equal(there, data), "find what was written");
}

Round measure(Communicator& comm, const fs::path& folder, const at::Tensor& data) {
  const fs::path raw = folder / "raw.bin", checkpoints = folder / "checkpoints";
  const StateTensors state = state_of(data);
  on_root(comm, [&] {
    fs::remove(raw);
    fs::remove_all(checkpoints);
    write_file_atomically(raw, "");
    return std::string();
  });
  Round round{};
  round.raw_write = timed(comm, [&] { write_raw(comm, raw, data); });
  round.write = timed(comm, [&] { save_checkpoint(comm, {checkpoints}, 1, state, {{"fingerprint", "bench"}}); });
  measure_reading(comm, raw, checkpoints, data, round);
  return round;
}

std::string spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  char text[80];
  std::snprintf(text, sizeof text, "%8.2f (%.2f to %.2f)", values[values.size() / 2], values.front(), values.back());
  return text;
}

void report(const std::vector<Round>& rounds, double megabytes, int ranks) {
  const auto row = [&](const char* name, const std::function<double(const Round&)>& value) {
    std::vector<double> values;
    for (const Round& round : rounds) values.push_back(value(round));
    std::printf("  %-22s %s\n", name, spread(values).c_str());
  };
  std::printf("%d rank(s), %.0f MB, %zu rounds: median (smallest to largest)\n", ranks, megabytes, rounds.size());
  row("plain write, MB/s", [&](const Round& r) { return megabytes / r.raw_write; });
  row("checkpoint write, MB/s", [&](const Round& r) { return megabytes / r.write; });
  row("ratio", [](const Round& r) { return r.raw_write / r.write; });
  row("plain read, MB/s", [&](const Round& r) { return megabytes / r.raw_read; });
  row("checkpoint read, MB/s", [&](const Round& r) { return megabytes / r.read; });
  row("ratio", [](const Round& r) { return r.raw_read / r.read; });
  row("whole by each, MB/s", [&](const Round& r) { return megabytes / r.raw_whole; });
  row("taken up, MB/s", [&](const Round& r) { return megabytes / r.take_up; });
  row("ratio", [](const Round& r) { return r.raw_whole / r.take_up; });
}

}  // namespace

int main(int argc, char** argv) {
  Runtime runtime(&argc, &argv);
  try {
    if (argc != 4) throw ConfigError("usage: checkpoint_bench FOLDER MEGABYTES ROUNDS");
    CommOptions options;
    options.device = "cpu";
    const std::unique_ptr<Communicator> comm = runtime.connect(options);
    const fs::path folder = fs::path(argv[1]) / "checkpoint_bench";
    const double megabytes = std::stod(argv[2]);
    const at::Tensor data =
        at::rand({static_cast<std::int64_t>(megabytes * 1e6 / 4)}, at::detail::createCPUGenerator(1), at::kFloat);
    on_root(*comm, [&] { return std::to_string(fs::create_directories(folder)); });
    std::vector<Round> rounds;
    measure(*comm, folder, data);  // warms up: not counted
    for (int i = 0; i < std::stoi(argv[3]); ++i) rounds.push_back(measure(*comm, folder, data));
    if (comm->is_root()) report(rounds, megabytes, comm->size());
    on_root(*comm, [&] { return std::to_string(fs::remove_all(folder)); });
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", runtime.control().rank(), error.what());
    runtime.control().abort(1);
  }
}
