// The process's place in the job: MPI started and ended, this rank's device, and who sits where.
#pragma once

#include <memory>
#include <string>

#include "tercet/comm/communicator.hpp"
#include "tercet/comm/watchdog.hpp"

namespace tercet {

struct CommOptions {
  std::string backend = "auto";   // auto | self | mpi | nccl; auto: nccl with GPUs, else mpi, self with one rank
  std::string device = "auto";    // auto | cpu | cuda
  bool allow_shared_gpu = false;  // several ranks on one GPU (tests): NCCL gets a different NCCL_HOSTID per rank
  bool deterministic = false;     // GPUs: the same bits in every run, at some cost in speed (CPUs always are)
  double timeout_s = 0;           // of one collective on a device; 0: none, the watchdog alone ends what hangs
  int threads_per_rank = 0;       // 0: the cores of this rank's share of the node
};

// Starts MPI (MPI_THREAD_MULTIPLE) if the process was launched by mpirun or srun, else runs as a single rank.
// Constructed once, in main, before anything asks LibTorch about CUDA. Ends MPI when destroyed, which waits for all
// ranks: a rank that leaves alone after an error must call control().abort(code) instead. When destroyed by an
// exception it aborts the job. Neither MPI's start nor its end can hang for ever: a process that is not through in time
// is ended. Throws CommError, and ConfigError when srun started several tasks that cannot find each
// other.
class Runtime {
 public:
  Runtime(int* argc, char*** argv);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Collective. Chooses devices (local rank from MPI_Comm_split_type(SHARED)), sets threads, refuses two ranks on one
  // GPU with a ConfigError before NCCL is touched, and returns the communicator for data.
  std::unique_ptr<Communicator> connect(const CommOptions& options);

  // Host-only communicator that works before connect(); collective uses of it agree on errors at start.
  Communicator& control();

  Watchdog& watchdog();           // watches from the constructor to the destructor
  void ends_with(int exit_code);  // what this process is going to end with, should MPI's end hang

  const std::string& device() const;  // "cpu" or "cuda:N"
  std::string placement_table();      // collective: rank, host, local rank, device, cores, threads; text on every rank

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Loads libtorch_cuda when a GPU and the library are there. Returns the number of usable GPUs. Thread-safe, idempotent.
int cuda_device_count();

}  // namespace tercet
