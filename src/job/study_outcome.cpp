#include "study_outcome.hpp"

#include <algorithm>

#include "study_statistics.hpp"
#include "tercet/base/error.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet::job {
namespace {

StudyFigures figures_of(const RunView& view, std::int64_t tokens_of_a_step) {
  StudyFigures figures;
  figures.results = *view.results;
  std::vector<double> speeds;
  for (const MetricRecord& record : series_of(view.record, "training/tokens_per_second"))
    speeds.push_back(record.value);
  if (!speeds.empty()) figures.tokens_per_second = median(speeds);
  for (const MetricRecord& record : series_of(view.record, "training/held_out_perplexity")) {
    figures.held_out.emplace_back(static_cast<double>(record.step * tokens_of_a_step), record.value);
  }
  return figures;
}

StudyOutcome outcome_of(const StudyElement& element, const StudyFolders& folders) {
  const ElementFiles files = folders.files(element.name);
  StudyOutcome outcome{element.name, element.row, element.config.seed, "", "", files.run.string(), {}};
  try {
    const ElementState state = read_element_state(files.state);
    outcome.state = state.state == "waiting" ? "not started" : state.state;
    outcome.reason = state.reason;
    if (state.state == "running" && !is_locked(files.lock)) {
      outcome.state = "interrupted";
      outcome.reason = "its driver was killed; the same command goes on";
    }
    if (!has_verdict(state)) return outcome;
    const RunView view = view_run(files.run);
    if (!view.results) throw StoreError("'" + files.run.string() + "' holds no final results");
    outcome.figures = figures_of(view, element.config.training.global_batch_tokens);
  } catch (const Error& error) {
    outcome.state = "unreadable";
    outcome.reason = error.what();
  }
  return outcome;
}

}  // namespace

std::optional<double> StudyFigures::ratio() const {
  const auto &before = results.before.perplexity, &packed = results.packed.perplexity;
  if (!before || !packed) return std::nullopt;
  return *packed / *before;
}

std::vector<StudyOutcome> outcomes_of(const StudyConfig& study, const StudyFolders& folders) {
  std::vector<StudyOutcome> outcomes;
  for (const StudyElement& element : study.elements) outcomes.push_back(outcome_of(element, folders));
  return outcomes;
}

int exit_code_of(const std::vector<StudyOutcome>& outcomes) {
  const bool all = std::all_of(outcomes.begin(), outcomes.end(),
                               [](const StudyOutcome& outcome) { return outcome.figures.has_value(); });
  return static_cast<int>(all ? ExitCode::kPassed : ExitCode::kInternal);
}

}  // namespace tercet::job
