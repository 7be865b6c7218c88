#include "tercet/report/rounds_text.hpp"

#include <set>
#include <utility>
#include <vector>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/report/results.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "rounds/";

std::string shown(const json& round, const char* key, std::string (*format)(double)) {
  const auto value = number_in(round, key);
  return value ? format(*value) : "-";
}

std::string whole(double value) {
  return format_fixed(value, 0);
}

std::vector<std::string> row_of(const json& round, const std::string& kept) {
  const std::string name = text_in(round, "name"), remedy = text_in(round, "remedy");
  const std::string from = text_in(round, "starts_from");
  return {name,
          text_in(round, "format") + (remedy.empty() ? "" : ", " + remedy),
          from.empty() ? "the original" : from,
          shown(round, "packed_bytes", whole),
          shown(round, "perplexity", sections::with_three_digits),
          shown(round, "perplexity_growth", sections::signed_percent),
          shown(round, "tokens", whole),
          shown(round, "training_seconds", format_duration),
          std::string(is_true_in(round, "passed") ? "passed" : "failed") + (name == kept ? ", kept" : "")};
}

std::string lines_of(const json& round) {
  std::string text;
  const auto add = [&](const char* what, const char* key) {
    if (const std::string said = text_in(round, key); !said.empty()) text += std::string(what) + said + "\n";
  };
  add("  did: ", "did");
  add("  failed: ", "failure");
  add("  then: ", "afterwards");
  return text.empty() ? "" : text_in(round, "name") + "\n" + text;
}

}  // namespace

std::string rounds_text(const RunRecord& run) {
  if (!run.provenance.contains(kRoundsKey)) return "";
  const json& record = run.provenance.at(kRoundsKey);
  std::vector<std::vector<std::string>> rows = {
      {"round", "format", "starts from", "packed bytes", "perplexity", "growth", "tokens", "training", "verdict"}};
  std::string lines;
  for (const json& round : list_in(record, "list")) {
    if (!round.is_object()) continue;
    rows.push_back(row_of(round, text_in(record, "kept")));
    lines += lines_of(round);
  }
  if (rows.size() == 1) return "";
  const std::string sentence = text_in(record, "sentence");
  return "\nrounds" + (sentence.empty() ? "" : ": " + sentence) + "\n" + format_table(rows) + lines;
}

std::string without_round(const std::string& series) {
  if (!series.starts_with(kPrefix)) return series;
  const std::size_t end = series.find('/', kPrefix.size());
  return end == std::string::npos ? series : series.substr(end + 1);
}

void take_figures_of_round(RunRecord& run) {
  if (!run.provenance.contains(kRoundsKey)) return;
  const std::string name = text_in(run.provenance.at(kRoundsKey), "figures");
  if (name.empty()) return;
  const std::string prefix = std::string(kPrefix) + name + "/";
  std::set<std::string> taken;
  for (const MetricRecord& metric : run.metrics) {
    if (metric.name.starts_with(prefix)) taken.insert(metric.name.substr(prefix.size()));
  }
  std::vector<MetricRecord> metrics;
  std::vector<double> times;
  for (std::size_t i = 0; i < run.metrics.size(); ++i) {
    MetricRecord metric = run.metrics[i];
    if (taken.contains(metric.name)) continue;
    if (metric.name.starts_with(prefix)) metric.name.erase(0, prefix.size());
    metrics.push_back(std::move(metric));
    times.push_back(run.wall_times[i]);
  }
  run.metrics = std::move(metrics);
  run.wall_times = std::move(times);
  order_metrics(run);
}

}  // namespace tercet
