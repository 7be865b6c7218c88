#include "comm/nccl_communicator.hpp"

#include <cstdlib>

#include "comm/nccl_link.hpp"
#include "comm/tensor_check.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"

#if TERCET_HAVE_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace tercet::comm {

#if TERCET_HAVE_CUDA

namespace {

ncclDataType_t nccl_type(const std::string& operation, const at::Tensor& tensor, const Communicator& comm) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kLong:
      return ncclInt64;
    case at::kBFloat16:
      return ncclBfloat16;
    default:
      throw CommError(operation + " on " + place(comm) + " cannot take " + describe(tensor),
                      "it adds up float32, float64, int64 and bfloat16", "convert before the call");
  }
}

ncclRedOp_t nccl_op(Reduce op) {
  switch (op) {
    case Reduce::kSum:
      return ncclSum;
    case Reduce::kMax:
      return ncclMax;
    case Reduce::kMin:
      return ncclMin;
  }
  return ncclSum;
}

cudaStream_t current_stream(int device) {
  return c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device)).stream();
}

class NcclWork : public Work {
 public:
  NcclWork(std::shared_ptr<NcclLink> link, std::string what) : link_(std::move(link)), what_(std::move(what)) {}
  void wait() override {
    link_->wait_for(what_, done_);
    check_cuda(cudaStreamWaitEvent(current_stream(link_->device()), done_.get(), 0), what_);
  }
  const CudaEvent& done() const { return done_; }

 private:
  std::shared_ptr<NcclLink> link_;
  std::string what_;
  CudaEvent done_;
};

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<MpiCommunicator> host, const NcclSettings& settings)
      : host_(std::move(host)), link_(std::make_shared<NcclLink>(*host_, settings)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::string backend() const override { return "nccl"; }
  MPI_Comm handle() const { return host_->handle(); }

  void all_reduce(std::span<double> values, Reduce op) override { host_->all_reduce(values, op); }
  void all_reduce(std::span<std::int64_t> values, Reduce op) override { host_->all_reduce(values, op); }
  void broadcast(std::span<std::byte> bytes, int root) override { host_->broadcast(bytes, root); }
  std::vector<std::string> all_gather(std::string_view mine) override { return host_->all_gather(mine); }
  void barrier() override { host_->barrier(); }
  void idle_barrier() override { host_->idle_barrier(); }

  void all_reduce(at::Tensor tensor, Reduce op) override { start_all_reduce(std::move(tensor), op)->wait(); }

  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor, Reduce op) override {
    check_contiguous("all_reduce", tensor, *this);
    if (tensor.is_cpu()) return host_->start_all_reduce(std::move(tensor), op);
    const ncclDataType_t type = nccl_type("all_reduce", tensor, *this);
    host_->announce("all_reduce", tensor.nbytes(),
                    c10::toString(tensor.scalar_type()) + std::string(" ") + name_of(op));
    return start(std::string("all_reduce (") + name_of(op) + ")", tensor, [&](ncclComm_t comm, cudaStream_t stream) {
      void* const data = tensor.mutable_data_ptr();
      return ncclAllReduce(data, data, static_cast<std::size_t>(tensor.numel()), type, nccl_op(op), comm, stream);
    });
  }

  void broadcast(at::Tensor tensor, int root) override {
    check_root("broadcast", root, *this);
    check_contiguous("broadcast", tensor, *this);
    if (tensor.is_cpu()) return host_->broadcast(std::move(tensor), root);
    host_->announce("broadcast", tensor.nbytes(), "from " + std::to_string(root));
    const auto work =
        start("broadcast from rank " + std::to_string(root), tensor, [&](ncclComm_t comm, cudaStream_t stream) {
          void* const data = tensor.mutable_data_ptr();
          return ncclBroadcast(data, data, tensor.nbytes(), ncclUint8, root, comm, stream);
        });
    work->wait();
  }

  [[noreturn]] void abort(int exit_code) override {
    link_->abort();
    host_->abort(exit_code);
    std::_Exit(exit_code);  // not reached; the compiler cannot tell, as the call above is virtual
  }

 private:
  std::unique_ptr<Work> start(const std::string& operation, const at::Tensor& tensor, const NcclLink::Call& call) {
    const int device = link_->device();
    if (!tensor.is_cuda() || tensor.get_device() != device) {
      throw CommError(operation + " on " + place(*this) + " cannot take " + describe(tensor),
                      "this rank owns cuda:" + std::to_string(device));
    }
    // The caller may be a thread of autograd's, whose current device is not ours.
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
    auto work = std::make_unique<NcclWork>(link_, operation + " of " + format_bytes(tensor.nbytes()));
    if (tensor.numel() == 0) {
      check_cuda(cudaEventRecord(work->done().get(), link_->stream()), operation);
      return work;
    }
    link_->enqueue(operation + " of " + format_bytes(tensor.nbytes()), current_stream(device), call, work->done());
    // The allocator must not hand the memory to others before the collective is through, even if the work is dropped.
    c10::cuda::CUDACachingAllocator::recordStream(
        tensor.storage().data_ptr(),
        c10::cuda::getStreamFromExternal(link_->stream(), static_cast<c10::DeviceIndex>(device)));
    return work;
  }

  std::unique_ptr<MpiCommunicator> host_;
  std::shared_ptr<NcclLink> link_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<MpiCommunicator> host,
                                                     const NcclSettings& settings) {
  return std::make_unique<NcclCommunicator>(std::move(host), settings);
}

MPI_Comm nccl_host_handle(Communicator& comm) {
  const auto* nccl = dynamic_cast<NcclCommunicator*>(&comm);
  return nccl != nullptr ? nccl->handle() : MPI_COMM_NULL;
}

#else

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<MpiCommunicator> host, const NcclSettings&) {
  throw CommError("NCCL cannot start on " + place(*host), "this build has no CUDA", "configure with -DTERCET_CUDA=ON");
}

MPI_Comm nccl_host_handle(Communicator&) {
  return MPI_COMM_NULL;
}

#endif

}  // namespace tercet::comm
