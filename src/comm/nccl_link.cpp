#include "comm/nccl_link.hpp"

#if TERCET_HAVE_CUDA

#include <atomic>
#include <cstdlib>
#include <memory>
#include <span>
#include <thread>

#include "comm/tensor_check.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"

namespace tercet::comm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::microseconds kPollPause{20};
constexpr std::chrono::seconds kAbortPatience{3};
constexpr std::chrono::seconds kClosePatience{5};

// NCCL reads these when the first communicator is made. What the user set stays.
void prepare_environment(const NcclSettings& settings, int rank) {
  // The same order of additions in every call: one algorithm, one protocol, no sums inside the switch.
  setenv("NCCL_ALGO", "Ring", /*overwrite=*/0);
  setenv("NCCL_PROTO", "Simple", 0);
  setenv("NCCL_NVLS_ENABLE", "0", 0);
  // NCCL refuses two ranks on one GPU of one host; with a host name each, they talk over the network.
  if (settings.shared_gpu) setenv("NCCL_HOSTID", ("tercet-rank-" + std::to_string(rank)).c_str(), 1);
}

ncclUniqueId agree_on_id(MpiCommunicator& host) {
  ncclUniqueId id{};
  std::string problem;
  if (host.is_root()) {
    const ncclResult_t code = ncclGetUniqueId(&id);
    if (code != ncclSuccess) problem = ncclGetErrorString(code);
  }
  problem = broadcast_string(host, problem);
  if (!problem.empty())
    throw CommError("NCCL cannot start on rank 0", problem, "set NCCL_DEBUG=WARN for its own words");
  host.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
  return id;
}

// ncclCommAbort may itself hang when a peer is gone, so it runs in a thread that is left behind after a while.
void abort_with_patience(ncclComm_t comm) {
  const auto done = std::make_shared<std::atomic<bool>>(false);
  std::thread([comm, done] {
    ncclCommAbort(comm);
    *done = true;
  }).detach();
  const auto deadline = Clock::now() + kAbortPatience;
  while (!*done && Clock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

void check_cuda(cudaError_t code, const std::string& what) {
  if (code != cudaSuccess) throw CommError(what + " failed", cudaGetErrorString(code));
}

CudaEvent::CudaEvent() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating a CUDA event");
}
CudaEvent::~CudaEvent() {
  cudaEventDestroy(event_);
}

NcclLink::NcclLink(MpiCommunicator& host, const NcclSettings& settings) : settings_(settings), place_(place(host)) {
  prepare_environment(settings, host.rank());
  check_cuda(cudaSetDevice(settings.device), "choosing GPU " + std::to_string(settings.device));
  int lowest = 0;
  int highest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "reading the stream priorities");
  check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, highest), "creating the NCCL stream");
  const ncclUniqueId id = agree_on_id(host);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t code = ncclCommInitRankConfig(&comm_, host.size(), id, host.rank(), &config);
  if (code != ncclSuccess && code != ncclInProgress) fail("NCCL's start", ncclGetErrorString(code));
  settle("NCCL's start", deadline());
}

NcclLink::~NcclLink() {
  try {
    const std::lock_guard lock(mutex_);
    if (comm_ != nullptr && !aborted_) {
      ncclCommFinalize(comm_);
      ncclResult_t state = ncclInProgress;
      const Deadline end = Clock::now() + kClosePatience;
      while (ncclCommGetAsyncError(comm_, &state) == ncclSuccess && state == ncclInProgress && Clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      if (state == ncclSuccess) {
        ncclCommDestroy(comm_);
      } else {
        abort_with_patience(comm_);
      }
    }
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  } catch (...) {  // no thread, no memory: the process is ending anyway
  }
}

NcclLink::Deadline NcclLink::deadline() const {
  if (settings_.timeout_s <= 0) return Deadline::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(settings_.timeout_s));
}

void NcclLink::fail(const std::string& what, const std::string& reason) {
  std::string problem = what + " failed on " + place_ + ", GPU " + std::to_string(settings_.device);
  if (comm_ != nullptr && !aborted_) {
    const char* words = ncclGetLastError(comm_);
    if (words != nullptr && words[0] != '\0') problem += ": " + std::string(words);
  }
  abort();
  throw CommError(problem, reason, "another rank may have ended or hung: read the log files of the others first");
}

void NcclLink::check_alive(const std::string& what, Deadline deadline) {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t code = ncclCommGetAsyncError(comm_, &state);
  if (code != ncclSuccess) fail(what, ncclGetErrorString(code));
  if (state != ncclSuccess && state != ncclInProgress) fail(what, ncclGetErrorString(state));
  if (Clock::now() > deadline) fail(what, "it did not end within " + format_duration(settings_.timeout_s));
}

void NcclLink::settle(const std::string& what, Deadline deadline) {
  const heartbeat::Waiting waiting(what);
  ncclResult_t state = ncclInProgress;
  while (ncclCommGetAsyncError(comm_, &state) == ncclSuccess && state == ncclInProgress) {
    if (Clock::now() > deadline) break;
    std::this_thread::sleep_for(kPollPause);
  }
  if (state != ncclSuccess) check_alive(what, deadline);
}

void NcclLink::enqueue(const std::string& what, cudaStream_t current, const Call& call, const CudaEvent& done) {
  if (aborted_) throw CommError(what + " on " + place_ + " cannot begin", "NCCL was aborted after an earlier failure");
  const CudaEvent ready;
  check_cuda(cudaEventRecord(ready.get(), current), what);
  check_cuda(cudaStreamWaitEvent(stream_, ready.get(), 0), what);
  const ncclResult_t code = call(comm_, stream_);
  if (code != ncclSuccess && code != ncclInProgress) fail(what, ncclGetErrorString(code));
  settle(what, deadline());  // until then nothing may be enqueued behind it
  check_cuda(cudaEventRecord(done.get(), stream_), what);
}

void NcclLink::wait_for(const std::string& what, const CudaEvent& done) {
  const heartbeat::Waiting waiting(what);
  const Deadline end = deadline();
  while (true) {
    const cudaError_t state = cudaEventQuery(done.get());
    if (state == cudaSuccess) return;
    if (state != cudaErrorNotReady) fail(what, cudaGetErrorString(state));
    check_alive(what, end);
    std::this_thread::sleep_for(kPollPause);
  }
}

void NcclLink::abort() {
  const std::lock_guard lock(mutex_);
  if (aborted_ || comm_ == nullptr) return;
  aborted_ = true;
  abort_with_patience(comm_);
}

}  // namespace tercet::comm

#endif
