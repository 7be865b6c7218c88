// tercet stop: asks the job that works on a run to save and end.
#include "run_directory.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/report/status.hpp"

namespace tercet {

CommandResult stop(const std::filesystem::path& run) {
  const auto status = read_status(run);
  const std::string state = status ? status->value("state", "unknown") : "unknown";
  const bool pretraining = std::filesystem::exists(run / ".pretrain.tmp");
  if (state != "running" && !pretraining) {
    throw ConfigError("no job is running in '" + run.string() + "'",
                      status ? "its status.json says " + state : "there is no status.json",
                      "give the run directory of a job under way");
  }
  const std::filesystem::path request = job::RunDirectory::stop_request_of(run);
  write_file_atomically(request, "stop\n");
  return {ExitCode::kPassed,
          {{"run", run.string()}, {"requested", true}},
          "asked the job in '" + run.string() +
              "' to stop; it saves at its next step, shard or batch and ends with status 75\n"};
}

}  // namespace tercet
