#include <algorithm>
#include <climits>
#include <numeric>
#include <string>

#include "store/journal.hpp"
#include "store/records.hpp"

namespace tercet::store {
namespace {

template <class Record>
nlohmann::json record_line(const char* kind, const Record& record) {
  nlohmann::json line = to_json(record);
  line["kind"] = kind;
  return line;
}

void replace_rank(std::vector<RankRecord>& ranks, RankRecord record) {
  if (ranks.empty() || ranks.back().rank < record.rank) return ranks.push_back(std::move(record));  // the usual case
  const auto same = std::find_if(ranks.begin(), ranks.end(), [&](const auto& r) { return r.rank == record.rank; });
  if (same != ranks.end()) {
    *same = std::move(record);
  } else {
    ranks.push_back(std::move(record));
  }
}

}  // namespace

nlohmann::json journal_line(const MetricRecord& record) {
  return record_line("metric", record);
}
nlohmann::json journal_line(const StageRecord& record) {
  return record_line("stage", record);
}
nlohmann::json journal_line(const RankRecord& record) {
  return record_line("rank", record);
}
nlohmann::json journal_line(const std::vector<LayerRecord>& table) {
  return {{"kind", "layers"}, {"table", to_json_table(table)}};
}
nlohmann::json journal_line(const std::vector<GateRecord>& table) {
  return {{"kind", "gates"}, {"table", to_json_table(table)}};
}
nlohmann::json journal_line(const std::string& provenance_key, const nlohmann::json& value) {
  return {{"kind", "provenance"}, {"key", provenance_key}, {"value", value}};
}

void apply_line(RunRecord& run, const nlohmann::json& line) {
  const auto kind = line.at("kind").get<std::string>();
  if (kind == "metric") {
    run.metrics.push_back(from_json<MetricRecord>(line));
    run.wall_times.push_back(line.at("t").get<double>());
  } else if (kind == "layers") {
    run.layers = from_json_table<LayerRecord>(line.at("table"));
  } else if (kind == "stage") {
    run.stages.push_back(from_json<StageRecord>(line));
  } else if (kind == "gates") {
    run.gates = from_json_table<GateRecord>(line.at("table"));
  } else if (kind == "rank") {
    replace_rank(run.ranks, from_json<RankRecord>(line));
  } else if (kind == "provenance") {
    run.provenance[line.at("key").get<std::string>()] = line.at("value");
  } else if (kind == "attempt") {
    run.attempts.push_back({static_cast<int>(json_integer(line.at("attempt"), "attempt", "a record", 0, INT_MAX)),
                            line.at("t").get<double>()});
  }
}

std::vector<nlohmann::json> lines_of(const RunRecord& run) {
  std::vector<nlohmann::json> lines;
  const double began = run.attempts.empty() ? 0.0 : run.attempts.back().began;
  const int attempt = run.attempts.empty() ? 0 : run.attempts.back().attempt;
  const auto add = [&](nlohmann::json line) {
    if (!line.contains("t")) line["t"] = began;
    if (!line.contains("attempt")) line["attempt"] = attempt;
    lines.push_back(std::move(line));
  };
  for (const AttemptRecord& a : run.attempts) add({{"kind", "attempt"}, {"t", a.began}, {"attempt", a.attempt}});
  for (const auto& [key, value] : run.provenance.items()) add(journal_line(key, value));
  for (std::size_t i = 0; i < run.metrics.size(); ++i) {
    nlohmann::json line = journal_line(run.metrics[i]);
    line["t"] = run.wall_times[i];
    add(std::move(line));
  }
  for (const StageRecord& stage : run.stages) add(journal_line(stage));
  if (!run.layers.empty()) add(journal_line(run.layers));
  if (!run.gates.empty()) add(journal_line(run.gates));
  for (const RankRecord& rank : run.ranks) add(journal_line(rank));
  return lines;
}

}  // namespace tercet::store

namespace tercet {

void order_metrics(RunRecord& run) {
  std::vector<std::size_t> order(run.metrics.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return run.metrics[a].name < run.metrics[b].name; });
  RunRecord ordered;
  for (std::size_t index : order) {
    ordered.metrics.push_back(std::move(run.metrics[index]));
    ordered.wall_times.push_back(run.wall_times[index]);
  }
  run.metrics = std::move(ordered.metrics);
  run.wall_times = std::move(ordered.wall_times);
}

}  // namespace tercet
