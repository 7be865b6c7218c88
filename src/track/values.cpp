// The records of a run as values of series.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tercet/base/error.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/report/metadata.hpp"
#include "tercet/track/trackers.hpp"

namespace tercet {
namespace {

using Values = std::vector<TrackedValue>;

void add_metrics(const RunRecord& run, Values& values) {
  for (std::size_t first = 0; first < run.metrics.size();) {
    const std::string& name = run.metrics[first].name;
    for (const std::size_t place : places_of(run, name)) {
      const MetricRecord& metric = run.metrics[place];
      values.push_back({metric.name, metric.step, metric.value, metric.unit, run.wall_times[place]});
    }
    while (first < run.metrics.size() && run.metrics[first].name == name) ++first;
  }
}

double began(const RunRecord& run, int attempt) {
  for (const AttemptRecord& each : run.attempts) {
    if (each.attempt == attempt) return each.began;
  }
  return 0;
}

double newest_time(const RunRecord& run, const Values& values) {
  double newest = run.attempts.empty() ? 0 : run.attempts.back().began;
  for (const TrackedValue& value : values) newest = std::max(newest, value.wall_time);
  return newest;
}

void add_stages(const RunRecord& run, Values& values) {
  for (const StageRecord& stage : run.stages) {
    const double ended = began(run, stage.attempt) + stage.end_s;
    values.push_back({"stage/" + stage.name + "/seconds", stage.attempt, stage.end_s - stage.begin_s, "s", ended});
  }
}

// The 19 names of compression_metadata.json; what does not apply is left out.
void add_compression(const RunRecord& run, const TrackedValue& pattern, Values& values) {
  const auto results = run.provenance.find(kResultsKey);
  if (results == run.provenance.end()) return;
  const nlohmann::json metrics = compression_metrics(results_from_json(*results), verdict_of(run.gates));
  for (const auto& [name, value] : metrics.items()) {
    TrackedValue tracked = pattern;
    tracked.series = name;
    if (value.is_boolean()) tracked.value = value.get<bool>() ? 1 : 0;
    if (value.is_number()) tracked.value = value.get<double>();
    if (!value.is_null()) values.push_back(tracked);
  }
}

// Tables carry no times of their own.
void add_tables(const RunRecord& run, double time, Values& values) {
  TrackedValue pattern;
  pattern.step = run.attempts.empty() ? 1 : run.attempts.back().attempt;
  pattern.unit = "1";
  pattern.wall_time = time;
  const auto add = [&](const std::string& series, double value, const std::string& unit) {
    values.push_back({series, pattern.step, value, unit, pattern.wall_time});
  };
  for (const RankRecord& rank : run.ranks) {
    const std::string prefix = "rank/" + std::to_string(rank.rank);
    add(prefix + "/peak_memory_bytes", rank.peak_memory_bytes, "bytes");
    add(prefix + "/tokens_per_second", rank.tokens_per_second, "tokens/s");
  }
  for (const GateRecord& gate : run.gates) {
    if (gate.verdict != "pass" && gate.verdict != "fail") continue;
    add("gate/" + gate.name + "/value", gate.value, "1");
    add("gate/" + gate.name + "/passed", gate.verdict == "pass" ? 1 : 0, "1");
  }
  if (!run.gates.empty()) add_compression(run, pattern, values);
}

}  // namespace

Values values_of(const RunRecord& run, std::optional<double> time_of_tables) {
  Values values;
  add_metrics(run, values);
  add_stages(run, values);
  std::stable_sort(values.begin(), values.end(),
                   [](const TrackedValue& a, const TrackedValue& b) { return a.wall_time < b.wall_time; });
  add_tables(run, time_of_tables.value_or(newest_time(run, values)), values);
  return values;
}

TrackedRun tracked_run(const RunView& view) {
  TrackedRun run;
  run.name = view.name;
  run.folder = view.folder;
  if (!view.record.attempts.empty()) run.began = view.record.attempts.front().began;
  run.config = view.config;
  try {
    if (!view.config.empty()) run.settings = all_settings(load_job_config(view.folder / "config.resolved.yaml", {}));
  } catch (const Error&) {  // of another version: its text serves
  }
  return run;
}

int exit_code_of(const RunView& view) {
  return static_cast<int>(number_in(view.status, "exit_code").value_or(static_cast<int>(ExitCode::kInternal)));
}

}  // namespace tercet
