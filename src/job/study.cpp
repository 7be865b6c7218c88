// tercet study: rows times seeds, each pair a job of its own, and what came out in one table. As tercet family it
// computes nothing itself and is no MPI rank.
#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "element_runner.hpp"
#include "study_element.hpp"
#include "study_report.hpp"
#include "tercet/base/error.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

CommandResult summed_up(const StudyConfig& study, const job::StudyFolders& folders) {
  const std::vector<job::StudyOutcome> outcomes = job::outcomes_of(study, folders);
  const job::StudyTable table = job::table_of(study, outcomes);
  const job::StudyView view{study, outcomes, table};
  job::write_study(view);
  return {static_cast<ExitCode>(job::exit_code_of(outcomes)), job::study_json(view), job::study_text(view)};
}

// The tables are written after each job, so that whatever ends this process leaves those of the jobs that are done.
void sum_up_so_far(const StudyConfig& study, const job::StudyFolders& folders) {
  try {
    summed_up(study, folders);
  } catch (const std::exception& error) {  // of the file system, say: the jobs under way go on
    log::warn(std::string("the tables of the study could not be written: ") + error.what());
  }
}

// Exit codes of the jobs.
std::vector<int> run_jobs(const StudyConfig& study, const job::StudyFolders& folders) {
  std::vector<std::unique_ptr<job::ElementRun>> runs;
  for (const StudyElement& element : study.elements) {
    runs.push_back(std::make_unique<job::StudyElementRun>(study, element, folders));
  }
  return job::run_elements(std::move(runs), study.packing, [&] { sum_up_so_far(study, folders); });
}

}  // namespace

CommandResult study(Runtime& runtime, const StudyRequest& request) {
  if (runtime.control().backend() != "self") {
    throw ConfigError("`tercet study` was started as an MPI rank", "it starts the ranks of its jobs itself",
                      "run it without mpirun or srun");
  }
  const StudyConfig study = load_study_config(request.file, request.overrides);
  const job::StudyFolders folders{study.output};
  if (request.summary) return summed_up(study, folders);
  const std::vector<int> codes = run_jobs(study, folders);
  CommandResult result = summed_up(study, folders);
  const bool stopped = std::find(codes.begin(), codes.end(), static_cast<int>(ExitCode::kStopped)) != codes.end();
  if (stopped) result.code = ExitCode::kStopped;
  return result;
}

}  // namespace tercet
