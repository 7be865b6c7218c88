#include "family_element.hpp"

#include "family_publication.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/report.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

ElementFiles files_of(const FamilyFolders& folders, const std::string& element) {
  return {folders.run(element), folders.config(element), folders.state(element), folders.lock(element),
          folders.log(element)};
}

}  // namespace

ElementFigures figures_of_run(const fs::path& run) {
  const RunRecord record = load_run(run);
  if (!record.provenance.contains(kResultsKey)) {
    throw StoreError("'" + run.string() + "' holds no final results");
  }
  const RunResults results = results_from_json(record.provenance.at(kResultsKey));
  return {results.before.perplexity, results.packed.perplexity, results.packed.accuracy,
          results.ratio(results.baseline), results.packed_bytes};
}

FamilyElementRun::FamilyElementRun(const FamilyConfig& family, const FamilyElement& element,
                                   const FamilyFolders& folders)
    : ElementRun(element, family.limits, files_of(folders, element.name)), family_(family), folders_(folders) {}

void FamilyElementRun::remember(const ElementState& state) const {
  append_history(folders_.history(element().name), {folders_.night, state.state, state.reason, unix_time(), {}, ""});
}

// From the verdict of the run to that of the element. Every step may have been done by a driver that was then killed:
// doing it again changes nothing.
void FamilyElementRun::conclude(const std::string& verdict, ElementState& state) const {
  ElementRun::conclude(verdict, state);
  HistoryEntry entry{folders_.night, state.state, state.reason, unix_time(), figures_of_run(files().run), ""};
  if (verdict == "passed") judge_against_history(entry, state);
  if (entry.state == "passed") {
    publish(entry);
  } else {
    append_history(folders_.history(element().name), entry);
  }
  state.state = entry.state;
  state.reason = entry.reason;
  state.published = entry.published;
}

void FamilyElementRun::judge_against_history(HistoryEntry& entry, ElementState& state) const {
  const auto accepted = last_accepted(read_history(folders_.history(element().name)), folders_.night);
  state.regression = judge_regression(family_.regression, accepted ? accepted->night : "",
                                      accepted ? std::optional(accepted->figures) : std::nullopt, entry.figures);
  if (state.regression->passed) return;
  entry.state = "regressed";
  entry.reason = state.regression->sentence;
}

void FamilyElementRun::publish(HistoryEntry& entry) const {
  const fs::path models = folders_.models(element().name), history = folders_.history(element().name);
  const fs::path artifacts = files().run / "artifacts";
  const auto metadata = nlohmann::json::parse(read_file(artifacts / "compression_metadata.json"), nullptr, false);
  entry.published = folders_.night + "-" + inputs_fingerprint(metadata);
  publish_artifacts(artifacts, models, entry.published);
  append_history(history, entry);
  point_latest(models, entry.published);
  std::vector<std::string> published;
  for (const HistoryEntry& known : read_history(history)) {
    if (known.accepted()) published.push_back(known.published);
  }
  retire_publications(models, published, static_cast<std::size_t>(family_.keep));
}

}  // namespace tercet::job
