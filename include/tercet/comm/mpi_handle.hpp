// For libraries that speak MPI themselves (parallel HDF5). Include it only in sources that need mpi.h.
#pragma once

#include <mpi.h>

#include "tercet/comm/communicator.hpp"

namespace tercet {

// The MPI communicator below `comm`, or MPI_COMM_NULL when the job is a single process without MPI. It stays owned by
// `comm`; duplicate it before using it from another thread.
MPI_Comm mpi_handle(Communicator& comm);

}  // namespace tercet
