#include "comm/launch.hpp"

#include <algorithm>
#include <array>

#include "tercet/base/error.hpp"

namespace tercet::comm {

bool launched_by_mpi(const Environment& environment) {
  // Set for each rank by Open MPI's mpirun, by PMIx (srun --mpi=pmix), and by PMI-1/2 and Hydra launchers.
  static constexpr std::array kMarks = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"};
  const auto is_set = [&](const char* name) { return environment(name) != nullptr; };
  if (std::any_of(kMarks.begin(), kMarks.end(), is_set)) return true;

  // SLURM_STEP_NUM_TASKS exists in tasks of srun, not in a batch script or a shell of salloc.
  const char* tasks = environment("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && is_set("SLURM_PROCID") && std::string(tasks) != "1") {
    throw ConfigError("srun started " + std::string(tasks) + " tasks that cannot find each other",
                      "neither PMIx nor PMI is in the environment", "start with: srun --mpi=pmix ...");
  }
  return false;
}

}  // namespace tercet::comm
