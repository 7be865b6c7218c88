// The report as Markdown and as CSV.
#include <cmath>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/page/chart.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/report/report.hpp"

namespace tercet {
namespace {

using Rows = std::vector<std::vector<std::string>>;

// Markdown passes HTML on, so a name from a file is not allowed to be any.
std::string markdown_text(const std::string& text) {
  std::string out;
  for (const char c : page::shortened(text, 2000)) {
    if (c == '\n' || c == '\r') {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      if (std::string_view("|`*_[]\\").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += " " + markdown_text(cell) + " |";
  return line + "\n";
}

std::string markdown_table(const std::string& title, const Rows& rows) {
  if (rows.size() < 2) return "";
  std::string text = "\n## " + title + "\n\n" + markdown_row(rows.front()) + "|";
  for (std::size_t i = 0; i < rows.front().size(); ++i) text += "---|";
  text += "\n";
  for (std::size_t i = 1; i < rows.size(); ++i) text += markdown_row(rows[i]);
  return text;
}

Rows gate_rows(const RunRecord& run) {
  Rows rows = {{"gate", "verdict", "severity", "value", "wants", "evidence"}};
  for (const GateRecord& gate : run.gates) {
    rows.push_back(
        {gate.name, gate.verdict, gate.severity, page::short_number(gate.value), gate.comparison, gate.evidence});
  }
  return rows;
}

Rows stage_rows(const RunRecord& run) {
  Rows rows = {{"stage", "attempt", "time"}};
  for (const StageRecord& stage : run.stages)
    rows.push_back({stage.name, std::to_string(stage.attempt), format_duration(stage.end_s - stage.begin_s)});
  return rows;
}

Rows rank_rows(const RunRecord& run) {
  Rows rows = {{"rank", "host", "device", "peak memory", "tokens/s"}};
  for (const RankRecord& rank : run.ranks) {
    rows.push_back({std::to_string(rank.rank), rank.host, rank.device, sections::in_bytes(rank.peak_memory_bytes),
                    format_fixed(rank.tokens_per_second, 0)});
  }
  return rows;
}

Rows layer_rows(const RunRecord& run) {
  Rows rows = {{"layer", "format", "shape", "bits/weight", "zeros", "error", "weighted error"}};
  for (const LayerRecord& layer : run.layers) {
    rows.push_back({layer.name, layer.format, std::to_string(layer.rows) + " x " + std::to_string(layer.columns),
                    format_fixed(layer.bits_per_weight, 3), sections::in_percent(layer.sparsity),
                    format_fixed(layer.relative_error, 4), format_fixed(layer.weighted_relative_error, 4)});
  }
  return rows;
}

// Indented, so that nothing in the text can end the block or be markup.
std::string markdown_block(const std::string& text) {
  std::string block = "\n    ";
  for (const char c : printable(text, sections::kLongestSample))
    block += c == '\n' ? std::string("\n    ") : std::string(1, c);
  return block + "\n";
}

std::string markdown_samples(const RunRecord& run) {
  if (!run.provenance.contains(kSamplesKey)) return "";
  const nlohmann::json& samples = run.provenance.at(kSamplesKey);
  std::string text =
      "\n## Samples\n\nFrom this prompt, the likeliest token each time:\n" + markdown_block(text_in(samples, "prompt"));
  for (const nlohmann::json& sample : list_in(samples, "texts"))
    text += "\n" + markdown_text(text_in(sample, "model")) + ":\n" + markdown_block(text_in(sample, "text"));
  return text;
}

// RFC 4180. A name that a spreadsheet would take for a formula gets an apostrophe in front.
std::string csv_text(const std::string& text) {
  const bool formula = !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
  std::string quoted = formula ? "\"'" : "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string csv_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value).dump() : format_fixed(value, 0);
}

}  // namespace

std::string markdown_report(const RunView& run) {
  std::string text = "# " + markdown_text(run.name) + "\n\n" + markdown_text(text_in(run.status, "state"));
  if (const std::string said = text_in(run.status, "sentence"); !said.empty()) text += ": " + markdown_text(said);
  text += "\n";
  if (run.results) text += markdown_table("Figures", results_rows(*run.results, run.record.gates));
  return text + markdown_table("Gates", gate_rows(run.record)) + markdown_samples(run.record) +
         markdown_table("Stages", stage_rows(run.record)) + markdown_table("Ranks", rank_rows(run.record)) +
         markdown_table("Layers", layer_rows(run.record));
}

std::string layers_csv(const RunView& run) {
  std::string text =
      "name,role,format,rows,columns,group_size,bits_per_weight,scale_min,scale_mean,scale_max,sparsity,relative_error,"
      "weighted_relative_error\n";
  for (const LayerRecord& layer : run.record.layers) {
    text += csv_text(layer.name) + "," + csv_text(layer.role) + "," + csv_text(layer.format);
    for (const std::int64_t value : {layer.rows, layer.columns, layer.group_size}) text += "," + std::to_string(value);
    for (const double value : {layer.bits_per_weight, layer.scale_min, layer.scale_mean, layer.scale_max,
                               layer.sparsity, layer.relative_error, layer.weighted_relative_error})
      text += "," + csv_number(value);
    text += "\n";
  }
  return text;
}

std::string metrics_csv(const RunView& run) {
  std::string text = "name,step,attempt,wall_time,value,unit\n";
  for (std::size_t i = 0; i < run.record.metrics.size(); ++i) {
    const MetricRecord& metric = run.record.metrics[i];
    text += csv_text(metric.name) + "," + std::to_string(metric.step) + "," + std::to_string(metric.attempt) + "," +
            csv_number(run.record.wall_times[i]) + "," + csv_number(metric.value) + "," + csv_text(metric.unit) + "\n";
  }
  return text;
}

}  // namespace tercet
