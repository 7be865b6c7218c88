// Device tensors by NCCL; everything on the host by MPI. Compiled into something only in builds with CUDA.
#pragma once

#include <memory>

#include "comm/mpi_communicator.hpp"

namespace tercet::comm {

#if TERCET_HAVE_CUDA
inline constexpr bool kHaveNccl = true;
#else
inline constexpr bool kHaveNccl = false;
#endif

struct NcclSettings {
  int device = 0;
  double timeout_s = 0;     // of one operation; 0: none
  bool shared_gpu = false;  // several ranks on this GPU
};

// Collective. Throws CommError.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<MpiCommunicator> host,
                                                     const NcclSettings& settings);

// The MPI communicator below an NCCL one, else MPI_COMM_NULL.
MPI_Comm nccl_host_handle(Communicator& comm);

}  // namespace tercet::comm
