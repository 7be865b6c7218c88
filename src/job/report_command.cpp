// tercet report: what a run measured, from its run file or its journal.
#include "tercet/report/report.hpp"

#include "tercet/job/commands.hpp"

namespace tercet {

CommandResult report(const std::filesystem::path& run, bool rebuild) {
  if (rebuild) rebuild_run_file(run);
  return {ExitCode::kPassed, report_json(run), report_text(run)};
}

}  // namespace tercet
