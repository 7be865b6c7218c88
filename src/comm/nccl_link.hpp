// One rank's end of an NCCL communicator: never blocks inside NCCL, polls its asynchronous error with a deadline, and
// can be aborted. The stream carries the collectives beside the stream that computes.
//
// NCCL does not report the death of a peer on the same node, and its blocking calls cannot be given up; hence the
// non-blocking communicator and the polling (as nccl-tests does).
#pragma once

#if TERCET_HAVE_CUDA

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>

#include "comm/mpi_communicator.hpp"
#include "comm/nccl_communicator.hpp"

namespace tercet::comm {

void check_cuda(cudaError_t code, const std::string& what);  // throws CommError

// An event without timing, for ordering between streams.
class CudaEvent {
 public:
  CudaEvent();
  ~CudaEvent();
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclLink {
 public:
  NcclLink(MpiCommunicator& host, const NcclSettings& settings);  // collective
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  int device() const { return settings_.device; }
  cudaStream_t stream() const { return stream_; }

  // Orders the stream behind what `current` was given so far, makes the call, and records `done` behind it.
  using Call = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;
  void enqueue(const std::string& what, cudaStream_t current, const Call& call, const CudaEvent& done);

  // Returns when `done` has happened. Throws CommError on an asynchronous error or after the timeout; the communicator
  // is aborted then and of no further use.
  void wait_for(const std::string& what, const CudaEvent& done);

  void abort();  // at most a few seconds, from any thread, any number of times

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  Deadline deadline() const;
  void settle(const std::string& what, Deadline deadline);
  void check_alive(const std::string& what, Deadline deadline);
  [[noreturn]] void fail(const std::string& what, const std::string& reason);

  NcclSettings settings_;
  std::string place_;
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
  bool aborted_ = false;
  cudaStream_t stream_ = nullptr;
};

}  // namespace tercet::comm

#endif
