#include "tercet/report/report.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "report/allocation_text.hpp"
#include "report/html_sections.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/metadata.hpp"
#include "tercet/report/rounds_text.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::size_t kWorstLayers = 5;
constexpr std::array kFiles = {"artifacts", "rejected",      "report.html", "config.resolved.yaml",
                               "run.h5",    "journal.jsonl", "log"};

struct SeriesEnd {
  std::size_t count = 0;
  MetricRecord last;
};

std::map<std::string, SeriesEnd> ends_of(const RunRecord& run) {
  std::map<std::string, SeriesEnd> ends;
  for (const MetricRecord& metric : run.metrics) {
    SeriesEnd& end = ends[metric.name];
    ++end.count;
    end.last = metric;
  }
  return ends;
}

std::string status_text(const RunView& run) {
  std::string text = "run        " + run.folder.string() + "\n";
  if (const std::string state = text_in(run.status, "state"); !run.status.empty()) {
    text += "state      " + (state.empty() ? "unknown" : state);
    if (const auto code = number_in(run.status, "exit_code")) text += " (exit code " + format_fixed(*code, 0) + ")";
    text += ", " + text_in(run.status, "updated") + "\n";
    if (const auto said = text_in(run.status, "sentence"); !said.empty()) text += "           " + said + "\n";
  }
  return text + "attempts   " + std::to_string(run.record.attempts.size()) + "\n";
}

std::string stages_text(const RunRecord& run) {
  if (run.stages.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"stage", "attempt", "time"}};
  for (const StageRecord& stage : run.stages) {
    rows.push_back({stage.name, std::to_string(stage.attempt), format_duration(stage.end_s - stage.begin_s)});
  }
  return "\n" + format_table(rows);
}

std::string ranks_text(const RunRecord& run) {
  if (run.ranks.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"rank", "host", "device", "peak memory", "tokens/s"}};
  for (const RankRecord& rank : run.ranks) {
    rows.push_back({std::to_string(rank.rank), rank.host, rank.device, sections::in_bytes(rank.peak_memory_bytes),
                    format_fixed(rank.tokens_per_second, 0)});
  }
  return "\n" + format_table(rows);
}

std::string layers_text(const RunRecord& run) {
  if (run.layers.empty()) return "";
  std::vector<LayerRecord> worst = run.layers;
  std::stable_sort(worst.begin(), worst.end(), [](const LayerRecord& a, const LayerRecord& b) {
    return a.weighted_relative_error > b.weighted_relative_error;
  });
  worst.resize(std::min(worst.size(), kWorstLayers));
  std::vector<std::vector<std::string>> rows = {
      {"layer", "format", "shape", "bits/weight", "sparsity", "error", "weighted error"}};
  for (const LayerRecord& layer : worst) {
    rows.push_back({layer.name, layer.format, std::to_string(layer.rows) + " x " + std::to_string(layer.columns),
                    format_fixed(layer.bits_per_weight, 3), format_fixed(100 * layer.sparsity, 1) + " %",
                    format_fixed(layer.relative_error, 4), format_fixed(layer.weighted_relative_error, 4)});
  }
  return "\nlayers: " + std::to_string(run.layers.size()) + ", those with the largest weighted error:\n" +
         format_table(rows);
}

std::string solver_text(const RunRecord& run) {
  if (!run.provenance.contains(kSolverKey)) return "";
  const json& solver = run.provenance.at(kSolverKey);
  const json& fallbacks = list_in(solver, "fallbacks");
  std::string text = "\nsolved layers: " + std::to_string(list_in(solver, "layers").size()) +
                     ", of them by the rounding rule: " + std::to_string(fallbacks.size()) + "\n";
  for (const json& layer : fallbacks)
    text += "           " + text_in(layer, "name") + ": " + text_in(layer, "reason") + "\n";
  return text;
}

std::string series_text(const RunRecord& run) {
  const auto ends = ends_of(run);
  if (ends.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"metric", "values", "last step", "last value", "unit"}};
  for (const auto& [name, end] : ends) {
    rows.push_back({name, std::to_string(end.count), std::to_string(end.last.step), format_fixed(end.last.value, 5),
                    end.last.unit});
  }
  return "\n" + format_table(rows);
}

std::string files_text(const fs::path& run_folder) {
  std::string text;
  for (const char* name : kFiles) {
    if (fs::exists(run_folder / name)) text += "           " + (run_folder / name).string() + "\n";
  }
  return text.empty() ? "" : "\nfiles\n" + text;
}

json layers_json(const RunRecord& run) {
  auto rows = json::array();
  for (const LayerRecord& layer : run.layers) {
    rows.push_back({{"name", layer.name},
                    {"role", layer.role},
                    {"format", layer.format},
                    {"rows", layer.rows},
                    {"columns", layer.columns},
                    {"group_size", layer.group_size},
                    {"bits_per_weight", layer.bits_per_weight},
                    {"scale_min", layer.scale_min},
                    {"scale_mean", layer.scale_mean},
                    {"scale_max", layer.scale_max},
                    {"sparsity", layer.sparsity},
                    {"relative_error", layer.relative_error},
                    {"weighted_relative_error", layer.weighted_relative_error}});
  }
  return rows;
}

json gates_json(const RunRecord& run) {
  auto rows = json::array();
  for (const GateRecord& gate : run.gates) {
    rows.push_back({{"name", gate.name},
                    {"verdict", gate.verdict},
                    {"severity", gate.severity},
                    {"value", gate.value},
                    {"threshold", gate.threshold},
                    {"wants", gate.comparison},
                    {"evidence", gate.evidence}});
  }
  return rows;
}

json timing_json(const RunRecord& run) {
  auto stages = json::array(), ranks = json::array();
  for (const StageRecord& stage : run.stages) {
    stages.push_back(
        {{"name", stage.name}, {"attempt", stage.attempt}, {"begin_s", stage.begin_s}, {"end_s", stage.end_s}});
  }
  for (const RankRecord& rank : run.ranks) {
    ranks.push_back({{"rank", rank.rank},
                     {"host", rank.host},
                     {"device", rank.device},
                     {"peak_memory_bytes", rank.peak_memory_bytes},
                     {"tokens_per_second", rank.tokens_per_second}});
  }
  return {{"stages", stages}, {"ranks", ranks}};
}

json series_json(const RunRecord& run) {
  auto series = json::object();
  for (const auto& [name, end] : ends_of(run)) {
    series[name] = {
        {"unit", end.last.unit}, {"values", end.count}, {"last_step", end.last.step}, {"last_value", end.last.value}};
  }
  return series;
}

}  // namespace

RunRecord load_run(const fs::path& run_folder) {
  const fs::path run_h5 = run_folder / "run.h5", journal = run_folder / "journal.jsonl";
  if (!fs::exists(run_h5) && !fs::exists(journal)) {
    throw StoreError("'" + run_folder.string() + "' holds no run", "neither run.h5 nor journal.jsonl is there",
                     "give the output folder of `tercet compress` or `tercet pretrain`");
  }
  if (!fs::exists(journal)) return read_run_file(run_h5);
  if (!fs::exists(run_h5)) return read_journal(journal);
  try {
    return read_journal(journal);
  } catch (const StoreError& error) {
    log::warn(std::string(error.what()) + "; run.h5 is read instead");
    return read_run_file(run_h5);
  }
}

std::string report_text(const RunView& run) {
  const RunRecord& record = run.record;
  std::string text = status_text(run) + "\n";
  text += run.results ? results_table(*run.results, record.gates) : "no final results yet\n";
  if (!record.gates.empty()) text += "\n" + gates_text(record.gates);
  text += rounds_text(record);
  return text + stages_text(record) + ranks_text(record) + layers_text(record) + allocation_text(record) +
         solver_text(record) + series_text(record) + files_text(run.folder);
}

json report_json(const RunView& run) {
  const RunRecord& record = run.record;
  json report = {{"run", run.folder.string()},
                 {"status", run.status.empty() ? json() : run.status},
                 {"attempts", record.attempts.size()},
                 {"gates", gates_json(record)},
                 {"layers", layers_json(record)},
                 {"series", series_json(record)},
                 {"timing", timing_json(record)},
                 {"provenance", record.provenance},
                 {"rounds", record.provenance.value(kRoundsKey, json())},
                 {"metrics", nullptr},
                 {"results", nullptr}};
  if (run.results) {
    report["results"] = to_json(*run.results);
    report["metrics"] = compression_metrics(*run.results, verdict_of(record.gates));
  }
  return report;
}

}  // namespace tercet
