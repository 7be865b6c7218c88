// Who sits where: the facts that each rank knows about its place, and the decisions that follow from all of them.
// Pure functions over gathered facts, so that any layout of a cluster can be tested on one machine.
#pragma once

#include <string>
#include <vector>

#include "tercet/comm/runtime.hpp"

namespace tercet::comm {

struct Seat {
  int rank = 0;
  std::string host;
  int local_rank = 0;  // among the ranks of this host
  int local_size = 1;
  int visible_gpus = 0;
  std::string cores;  // affinity mask, e.g. "0-3,8"
  int core_count = 1;
  int device_index = -1;  // -1: the host processor
  std::string gpu_id;     // PCI bus id of the chosen GPU
  std::string gpu_name;
  int threads = 1;
  std::string device() const { return device_index < 0 ? "cpu" : "cuda:" + std::to_string(device_index); }
};

std::string encode(const Seat& seat);
Seat decode_seat(const std::string& wire);

// The cores this process may run on, as ranges, and how many they are.
std::string affinity_text(int& core_count);

// Do the ranks compute on GPUs? The same answer on every rank. Throws ConfigError when a GPU was asked for and a rank
// sees none, or when only some ranks see one.
bool use_gpus(const std::vector<Seat>& seats, const std::string& device);

// Which of its visible GPUs a rank takes. Throws ConfigError when there are fewer GPUs than ranks on the node.
int choose_gpu(const Seat& seat, bool allow_shared);

// Throws ConfigError naming two ranks that hold the same GPU.
void refuse_shared_gpus(const std::vector<Seat>& seats);

// The option, else OMP_NUM_THREADS, else an even share of the cores among the ranks that are bound to the same ones.
int threads_for(const Seat& mine, const std::vector<Seat>& seats, int option, const char* omp_num_threads);

// "self", "mpi" or "nccl". Throws ConfigError for a backend that cannot serve the job.
std::string choose_backend(const std::string& backend, int ranks, bool gpus, bool built_with_nccl);

// A row for each rank; with more than 64 ranks, one for each host.
std::string table_of(const std::vector<Seat>& seats);

}  // namespace tercet::comm
