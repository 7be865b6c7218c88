#include "study_report.hpp"

#include <algorithm>
#include <functional>

#include "markdown_table.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

const std::string kPlusMinus = " \xC2\xB1 ";

std::string mean_text(const std::optional<Sample>& sample, int digits) {
  return sample ? format_fixed(sample->mean, digits) : "";
}

// "1.0696 ± 0.0012", the spread over the seeds.
std::string spread_text(const std::optional<Sample>& sample, int digits) {
  if (!sample) return "";
  const std::string mean = format_fixed(sample->mean, digits);
  return sample->deviation ? mean + kPlusMinus + format_fixed(*sample->deviation, digits) : mean;
}

// With its sign, and a star where the seeds tell it from nothing.
std::string change_text(const std::optional<Sample>& change) {
  if (!change) return "";
  const Standing against_none = compare(*change, 0);
  const bool told = against_none == Standing::kBelow || against_none == Standing::kAbove;
  return (change->mean >= 0 ? "+" : "") + spread_text(change, 4) + (told ? " *" : "");
}

std::string values_text(const std::vector<std::optional<double>>& values) {
  std::string text;
  for (const std::optional<double>& value : values) {
    text += (text.empty() ? "" : ", ") + (value ? format_fixed(*value, 4) : "-");
  }
  return text;
}

std::string times_text(const std::optional<double>& factor) {
  return factor ? format_fixed(*factor, 2) : "";
}

std::string percent_text(const std::optional<Sample>& share) {
  return share ? format_fixed(100 * share->mean, 2) + " %" : "";
}

std::string bytes_text(const std::optional<Sample>& bytes) {
  return bytes ? format_bytes(static_cast<std::uint64_t>(bytes->mean)) : "";
}

struct TableColumn {
  const char* name;
  std::function<std::string(const StudyLine&)> cell;
};

const std::vector<TableColumn>& columns() {
  static const std::vector<TableColumn> table = {
      {"row", [](const StudyLine& line) { return line.name; }},
      {"ratio", [](const StudyLine& line) { return spread_text(line.ratio, 4); }},
      {"by seed", [](const StudyLine& line) { return values_text(line.ratios); }},
      {"change", [](const StudyLine& line) { return change_text(line.change); }},
      {"to control", [](const StudyLine& line) { return spread_text(line.to_control, 4); }},
      {"verdict", [](const StudyLine& line) { return line.verdict; }},
      {"KL", [](const StudyLine& line) { return mean_text(line.kl, 4); }},
      {"agreement", [](const StudyLine& line) { return percent_text(line.agreement); }},
      {"accuracy", [](const StudyLine& line) { return percent_text(line.accuracy); }},
      {"bytes", [](const StudyLine& line) { return bytes_text(line.packed_bytes); }},
      {"time", [](const StudyLine& line) { return times_text(line.time); }},
      {"token", [](const StudyLine& line) { return times_text(line.pace); }},
  };
  return table;
}

std::string list_text(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "- " + line + "\n";
  return text;
}

std::string seeds_text(const std::vector<std::int64_t>& seeds) {
  std::string text;
  for (const std::int64_t seed : seeds) text += (text.empty() ? "" : ", ") + std::to_string(seed);
  return text;
}

Rows settings_rows(const StudyConfig& study) {
  Rows rows = {{"row", "what it sets"}};
  for (const StudyRow& row : study.rows) {
    const std::string code = row.settings.empty() ? "" : "`";
    rows.push_back({row.name, code + what_it_sets(row) + code});
  }
  return rows;
}

// A reason may be a list of mistakes.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

json sample_json(const std::optional<Sample>& sample) {
  if (!sample) return {};
  const auto number = [](const std::optional<double>& value) { return value ? number_to_json(*value) : json(); };
  json values = json::array();
  for (const double value : sample->values) values.push_back(number_to_json(value));
  return {{"mean", number_to_json(sample->mean)},
          {"deviation", number(sample->deviation)},
          {"margin", number(sample->margin)},
          {"values", values}};
}

json line_json(const StudyLine& line, const StudyRow& row) {
  const auto number = [](const std::optional<double>& value) { return value ? number_to_json(*value) : json(); };
  json settings = json::object(), ratios = json::array();
  for (const auto& [key, value] : row.settings) settings[key] = value;
  for (const std::optional<double>& ratio : line.ratios) ratios.push_back(number(ratio));
  return {{"name", line.name},
          {"control", line.is_control},
          {"settings", settings},
          {"ratios", ratios},
          {"ratio", sample_json(line.ratio)},
          {"change", sample_json(line.change)},
          {"to_control", sample_json(line.to_control)},
          {"verdict", line.verdict},
          {"remark", line.remark},
          {"kl", sample_json(line.kl)},
          {"agreement", sample_json(line.agreement)},
          {"accuracy", sample_json(line.accuracy)},
          {"packed_bytes", sample_json(line.packed_bytes)},
          {"seconds", sample_json(line.seconds)},
          {"time", number(line.time)},
          {"pace", number(line.pace)}};
}

json outcome_json(const StudyOutcome& outcome) {
  const auto& figures = outcome.figures;
  return {{"name", outcome.name},
          {"row", outcome.row},
          {"seed", outcome.seed},
          {"state", outcome.state},
          {"reason", outcome.reason},
          {"run", outcome.run},
          {"tokens_per_second",
           figures && figures->tokens_per_second ? number_to_json(*figures->tokens_per_second) : json()},
          {"results", figures ? to_json(figures->results) : json()}};
}

}  // namespace

// A column that has nothing to say, as all about the control where there is none, is left out.
std::vector<std::vector<std::string>> study_rows(const StudyTable& table) {
  Rows rows(1 + table.lines.size());
  for (const TableColumn& column : columns()) {
    std::vector<std::string> cells;
    for (const StudyLine& line : table.lines) cells.push_back(column.cell(line));
    if (std::all_of(cells.begin(), cells.end(), [](const std::string& cell) { return cell.empty(); })) continue;
    rows[0].emplace_back(column.name);
    for (std::size_t line = 0; line < cells.size(); ++line) rows[line + 1].push_back(cells[line]);
  }
  return rows;
}

std::string what_it_sets(const StudyRow& row) {
  if (row.is_control) return "the base in full precision";
  std::string text;
  for (const auto& [key, value] : row.settings) text += (text.empty() ? "" : ", ") + key + ": " + value;
  return text.empty() ? "the base" : text;
}

std::string study_frame(const StudyConfig& study) {
  const JobConfig& config = study.elements.front().config;
  std::string sources;
  for (const SourceConfig& source : config.data.sources) sources += (sources.empty() ? "" : ", ") + source.path;
  return "Model " + config.model.path + "; text " + sources + "; seeds " + seeds_text(study.seeds) +
         "; ranks of a job: " + std::to_string(study.packing.ranks) + ".";
}

std::vector<std::string> study_legend(const StudyTable& table) {
  std::vector<std::string> lines = {
      "ratio: perplexity of the packed model, re-read from its file / perplexity of the original, on the same held-out "
      "windows: mean" +
          kPlusMinus + "standard deviation over the seeds; by seed: each of them",
      "change: ratio less that of the first row, seed by seed; * where the seeds tell it from none (95 %)"};
  if (table.has_control) {
    lines.push_back(
        "to control: perplexity of the packed model / that of the control, the original fine-tuned in full precision "
        "on the same tokens with the same seed. The verdict is about this: where the control is as good, a ratio below "
        "1 comes from the training");
  }
  lines.push_back(
      "KL (nats a token) and agreement (same next token): with the original; accuracy: of the next token; bytes: of "
      "the packed file");
  lines.push_back("time: training seconds, the first row's = 1");
  if (table.has_control) lines.push_back("token: time of a training token, the control's = 1");
  return lines;
}

std::vector<std::string> study_remarks(const StudyView& view) {
  std::vector<std::string> remarks;
  for (const StudyLine& line : view.table.lines) {
    if (!line.remark.empty()) remarks.push_back(line.name + ": " + line.remark);
  }
  for (const StudyOutcome& outcome : view.outcomes) {
    if (outcome.state == "passed") continue;
    const std::string gate = outcome.state == "gate_failed" ? "measured, but a gate failed" : outcome.state;
    remarks.push_back(outcome.name + ": " + gate + (outcome.reason.empty() ? "" : ": " + one_line(outcome.reason)));
  }
  return remarks;
}

std::string study_text(const StudyView& view) {
  std::string text = format_table(study_rows(view.table));
  const std::vector<std::string> remarks = study_remarks(view);
  if (!remarks.empty()) text += "\n";
  for (const std::string& remark : remarks) text += remark + "\n";
  return text + "\ntables and plots: " + view.study.output + "\n";
}

std::string study_markdown(const StudyView& view) {
  std::string text = "# " + view.study.name + "\n\n" + study_frame(view.study) + "\n\n" +
                     markdown_table(study_rows(view.table)) + "\n" + list_text(study_legend(view.table));
  text += "\n## Rows\n\n" + markdown_table(settings_rows(view.study));
  const std::vector<std::string> remarks = study_remarks(view);
  if (!remarks.empty()) text += "\n## Remarks\n\n" + list_text(remarks);
  const std::vector<StudyPlot> plots = study_plots(view);
  if (!plots.empty()) text += "\n## Plots\n";
  for (const StudyPlot& plot : plots) text += "\n![" + plot.title + "](" + plot.file + ")\n\n" + plot.caption + "\n";
  return text;
}

json study_json(const StudyView& view) {
  json rows = json::array(), runs = json::array();
  for (std::size_t row = 0; row < view.table.lines.size(); ++row) {
    rows.push_back(line_json(view.table.lines[row], view.study.rows[row]));
  }
  for (const StudyOutcome& outcome : view.outcomes) runs.push_back(outcome_json(outcome));
  return {{"study", view.study.name},
          {"written", iso_time(unix_time())},
          {"exit_code", exit_code_of(view.outcomes)},
          {"seeds", view.study.seeds},
          {"control", view.study.control},
          {"rows", rows},
          {"runs", runs}};
}

void write_study(const StudyView& view) {
  const fs::path output = view.study.output;
  make_folder(output, "check `output`");
  for (const StudyPlot& plot : study_plots(view)) write_file_atomically(output / plot.file, plot.svg);
  write_file_atomically(output / "study.md", study_markdown(view));
  write_file_atomically(output / "study.html", study_page(view));
  write_file_atomically(output / "study.json",
                        study_json(view).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace tercet::job
