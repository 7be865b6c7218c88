#include "comm/placement.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"

namespace tercet::comm {

// One field a line: no host, mask or GPU name holds a line break.
std::string encode(const Seat& seat) {
  std::ostringstream wire;
  for (int number : {seat.rank, seat.local_rank, seat.local_size, seat.visible_gpus, seat.core_count, seat.device_index,
                     seat.threads}) {
    wire << number << '\n';
  }
  for (const std::string* text : {&seat.host, &seat.cores, &seat.gpu_id, &seat.gpu_name}) wire << *text << '\n';
  return wire.str();
}

Seat decode_seat(const std::string& wire) {
  std::istringstream lines(wire);
  std::string line;
  Seat seat;
  for (int* number : {&seat.rank, &seat.local_rank, &seat.local_size, &seat.visible_gpus, &seat.core_count,
                      &seat.device_index, &seat.threads}) {
    std::getline(lines, line);
    *number = std::stoi(line);
  }
  for (std::string* text : {&seat.host, &seat.cores, &seat.gpu_id, &seat.gpu_name}) std::getline(lines, *text);
  return seat;
}

std::string affinity_text(int& core_count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  core_count = 1;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "?";
  core_count = std::max(1, CPU_COUNT(&set));
  std::string text;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &set)) continue;
    int last = core;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set)) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(core);
    if (last > core) text.append("-").append(std::to_string(last));
    core = last;
  }
  return text;
}

bool use_gpus(const std::vector<Seat>& seats, const std::string& device) {
  if (device == "cpu") return false;
  if (device != "auto" && device != "cuda") {
    throw ConfigError("device '" + device + "' is not known", "", "choose auto, cpu or cuda");
  }
  const auto sees_none = [](const Seat& seat) { return seat.visible_gpus == 0; };
  const auto without = std::find_if(seats.begin(), seats.end(), sees_none);
  if (without == seats.end()) return true;
  const bool none_anywhere = std::all_of(seats.begin(), seats.end(), sees_none);
  if (device == "auto" && none_anywhere) return false;
  throw ConfigError("rank " + std::to_string(without->rank) + " on host " + without->host + " sees no usable GPU",
                    none_anywhere ? "nor does any other rank" : "other ranks see one",
                    "ask the scheduler for one GPU per rank, or set distributed.device: cpu");
}

int choose_gpu(const Seat& seat, bool allow_shared) {
  // One visible GPU: either the only one of the machine, or this rank's own in a group of its own, where it is number
  // 0.
  if (seat.visible_gpus == 1) return 0;
  if (seat.local_rank < seat.visible_gpus) return seat.local_rank;
  if (allow_shared) return seat.local_rank % seat.visible_gpus;
  throw ConfigError(
      "rank " + std::to_string(seat.rank) + " on host " + seat.host + " has no GPU of its own",
      std::to_string(seat.local_size) + " ranks share " + std::to_string(seat.visible_gpus) + " GPUs there",
      "start one rank per GPU, or set distributed.device: cpu");
}

void refuse_shared_gpus(const std::vector<Seat>& seats) {
  std::map<std::pair<std::string, std::string>, int> owner;  // (host, PCI bus id) -> rank
  for (const Seat& seat : seats) {
    if (seat.device_index < 0) continue;
    const auto [at, is_new] = owner.try_emplace({seat.host, seat.gpu_id}, seat.rank);
    if (is_new) continue;
    throw ConfigError("ranks " + std::to_string(at->second) + " and " + std::to_string(seat.rank) + " on host " +
                          seat.host + " were given the same GPU " + seat.gpu_id,
                      "NCCL needs one GPU per rank",
                      "start one rank per GPU (with Slurm: --gpus-per-node and --gpu-bind=none), or for a test set "
                      "distributed.allow_shared_gpu: true");
  }
}

int threads_for(const Seat& mine, const std::vector<Seat>& seats, int option, const char* omp_num_threads) {
  if (option > 0) return option;
  const int from_environment = omp_num_threads != nullptr ? std::atoi(omp_num_threads) : 0;
  if (from_environment > 0) return from_environment;
  const auto sharing = std::count_if(
      seats.begin(), seats.end(), [&](const Seat& seat) { return seat.host == mine.host && seat.cores == mine.cores; });
  return std::max(1, mine.core_count / std::max(1, static_cast<int>(sharing)));
}

std::string choose_backend(const std::string& backend, int ranks, bool gpus, bool built_with_nccl) {
  if (backend != "auto" && backend != "self" && backend != "mpi" && backend != "nccl") {
    throw ConfigError("distributed backend '" + backend + "' is not known", "", "choose auto, self, mpi or nccl");
  }
  if (backend == "nccl" && !gpus) {
    throw ConfigError("distributed backend nccl needs a GPU for every rank", "this job runs on cpu",
                      "set distributed.backend: auto");
  }
  if (ranks == 1) return "self";
  if (backend == "self") {
    throw ConfigError("distributed backend self cannot join " + std::to_string(ranks) + " ranks", "",
                      "set distributed.backend: auto, or start a single rank");
  }
  if (!gpus) return "mpi";
  if (backend == "mpi") {
    throw ConfigError("distributed backend mpi cannot carry tensors on GPUs", "MPI is never given device memory",
                      "set distributed.backend: nccl, or distributed.device: cpu");
  }
  if (!built_with_nccl) throw ConfigError("this build has no NCCL", "", "configure with -DTERCET_CUDA=ON");
  return "nccl";
}

namespace {

constexpr std::size_t kMostRows = 64;

std::string table_of_hosts(const std::vector<Seat>& seats) {
  std::map<std::string, std::vector<const Seat*>> hosts;
  for (const Seat& seat : seats) hosts[seat.host].push_back(&seat);
  std::vector<std::vector<std::string>> rows = {
      {"host", "ranks", "first rank", "on GPUs", "cores of the first", "threads"}};
  for (const auto& [host, ranks] : hosts) {
    const auto gpus =
        std::count_if(ranks.begin(), ranks.end(), [](const Seat* seat) { return seat->device_index >= 0; });
    rows.push_back({host, std::to_string(ranks.size()), std::to_string(ranks.front()->rank), std::to_string(gpus),
                    ranks.front()->cores, std::to_string(ranks.front()->threads)});
  }
  return format_table(rows);
}

}  // namespace

std::string table_of(const std::vector<Seat>& seats) {
  if (seats.size() > kMostRows) return table_of_hosts(seats);
  std::vector<std::vector<std::string>> rows = {{"rank", "host", "local rank", "device", "cores", "threads"}};
  for (const Seat& seat : seats) {
    const std::string gpu = seat.device_index < 0 ? "" : " " + seat.gpu_name + " " + seat.gpu_id;
    rows.push_back({std::to_string(seat.rank), seat.host, std::to_string(seat.local_rank), seat.device() + gpu,
                    seat.cores, std::to_string(seat.threads)});
  }
  return format_table(rows);
}

}  // namespace tercet::comm
