// How this program was built and what it runs with.
#include <hdf5.h>
#include <mpi.h>
#include <torch/version.h>

#include "tercet/comm/runtime.hpp"
#include "tercet/job/build_stamp.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);  // allowed before MPI_Init
  const std::string full(text, static_cast<std::size_t>(length));
  return full.substr(0, full.find(','));
}

}  // namespace

nlohmann::json build_information() {
  return {{"version", kVersion},
          {"commit", kCommit},
          {"compiler", std::string("g++ ") + __VERSION__},
          {"build_type", kBuildType},
          {"libtorch", TORCH_VERSION},
          {"mpi", mpi_version()},
          {"hdf5", hdf5_version()},
#ifdef TERCET_HAVE_CUDA
          {"cuda", true},
#else
          {"cuda", false},
#endif
          {"gpus", cuda_device_count()}};
}

}  // namespace tercet
