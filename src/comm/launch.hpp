// Was this process started as one rank of an MPI job? Decided from the environment alone, before MPI is touched.
#pragma once

#include <functional>
#include <string>

namespace tercet::comm {

using Environment = std::function<const char*(const char*)>;  // std::getenv, or a test's own

// True under mpirun, and under srun with PMIx or PMI. Throws ConfigError when srun started several tasks without
// either: each would run the whole job by itself, on the same files.
bool launched_by_mpi(const Environment& environment);

}  // namespace tercet::comm
