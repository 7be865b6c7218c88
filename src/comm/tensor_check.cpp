#include "comm/tensor_check.hpp"

#include <sstream>

#include "tercet/base/error.hpp"

namespace tercet::comm {
namespace {

std::string refused(const std::string& operation, const Communicator& comm, const std::string& what) {
  return operation + " on " + place(comm) + " cannot take " + what;
}

}  // namespace

std::string place(const Communicator& comm) {
  return "rank " + std::to_string(comm.rank()) + " of " + std::to_string(comm.size());
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  std::ostringstream text;
  text << "a tensor of type " << c10::toString(tensor.scalar_type()) << " and shape " << tensor.sizes() << " on "
       << tensor.device();
  return text.str();
}

void check_root(const std::string& operation, int root, const Communicator& comm) {
  if (root >= 0 && root < comm.size()) return;
  throw CommError(operation + " on " + place(comm) + " has no root " + std::to_string(root),
                  "ranks count from 0 to " + std::to_string(comm.size() - 1));
}

void check_contiguous(const std::string& operation, const at::Tensor& tensor, const Communicator& comm) {
  if (!tensor.defined()) throw CommError(refused(operation, comm, describe(tensor)));
  if (!tensor.is_contiguous()) {
    throw CommError(refused(operation, comm, describe(tensor)), "its elements are not contiguous in memory",
                    "call contiguous() first and copy the result back");
  }
}

void check_host(const std::string& operation, const at::Tensor& tensor, const Communicator& comm) {
  check_contiguous(operation, tensor, comm);
  if (!tensor.is_cpu()) {
    throw CommError(refused(operation, comm, describe(tensor)), "MPI is never given device memory",
                    "connect with backend nccl for device tensors");
  }
}

void check_host_tensor(const std::string& operation, const at::Tensor& tensor, const Communicator& comm) {
  check_host(operation, tensor, comm);
  const at::ScalarType type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kDouble && type != at::kLong) {
    throw CommError(refused(operation, comm, describe(tensor)),
                    "MPI adds up float32, float64 and int64 here, and 16-bit sums would lose digits at every rank",
                    "convert to float32 before the call");
  }
}

}  // namespace tercet::comm
