#include "comm/nccl_communicator.hpp"
#if !TERCET_HAVE_CUDA
#include "tercet/base/error.hpp"
namespace tercet::comm {
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<MpiCommunicator>, const NcclSettings&) {
  throw CommError("there is no NCCL", "this build has no CUDA");
}
MPI_Comm nccl_host_handle(Communicator&) {
  return MPI_COMM_NULL;
}
}  // namespace tercet::comm
#endif
