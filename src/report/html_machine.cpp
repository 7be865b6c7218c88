// Where the time went, and what each rank needed.
#include <algorithm>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using page::element;
using page::Html;

namespace {

constexpr std::size_t kMostBars = 24;
constexpr std::size_t kMostRanks = 1024;
constexpr std::size_t kMostAttempts = 5;

std::vector<StageRecord> stages_of(const RunView& run, int attempt) {
  std::vector<StageRecord> stages;
  for (const StageRecord& stage : run.record.stages)
    if (stage.attempt == attempt) stages.push_back(stage);
  return stages;
}

Html timeline(const std::vector<StageRecord>& stages, const std::string& title) {
  std::vector<page::Track> rows;
  double end = 0;
  for (const StageRecord& stage : stages) {
    end = std::max(end, stage.end_s);
    const std::string time = format_duration(stage.end_s - stage.begin_s);
    rows.push_back({page::shortened(stage.name, 60),
                    time,
                    {{stage.begin_s, stage.end_s, 0,
                      format_fixed(stage.begin_s, 1) + " s to " + format_fixed(stage.end_s, 1) + " s"}}});
  }
  return page::plot(title, page::tracks(rows, 0, end),
                    "From the start of the attempt to " + format_duration(end) + " after it; finished stages.");
}

// Few ranks: bars with their names. Many: a point for each.
Html of_ranks(const RunView& run, const std::string& title, const std::string& unit, double RankRecord::*field,
              std::string (*format)(double)) {
  double most = 0;
  for (const RankRecord& rank : run.record.ranks) most = std::max(most, rank.*field);
  if (!(most > 0)) return {};
  if (run.record.ranks.size() > kMostBars) {
    page::Series series{title, {}, false, true, "greatest " + format(most)};
    for (const RankRecord& rank : run.record.ranks)
      series.points.push_back({static_cast<double>(rank.rank), rank.*field});
    page::XyChart chart{"rank", unit, {series}};
    chart.from_zero = true;
    return page::plot(title, page::xy_chart(chart), "");
  }
  std::vector<page::Track> rows;
  for (const RankRecord& rank : run.record.ranks) {
    const std::string place = page::shortened(rank.host, 24) + ", " + page::shortened(rank.device, 12);
    rows.push_back(
        {"rank " + std::to_string(rank.rank) + " \xC2\xB7 " + place, format(rank.*field), {{0, rank.*field, 0, ""}}});
  }
  return page::plot(title, page::tracks(rows, 0, most), "");
}

std::string whole_tokens(double value) {
  return format_fixed(value, 0) + " tokens/s";
}

Html rank_table(const RunView& run) {
  std::vector<std::vector<Html>> rows;
  for (std::size_t i = 0; i < std::min(run.record.ranks.size(), kMostRanks); ++i) {
    const RankRecord& rank = run.record.ranks[i];
    const std::string key = "/timing/ranks/" + std::to_string(i) + "/";
    rows.push_back(
        {std::to_string(rank.rank), page::shortened(rank.host, 60), page::shortened(rank.device, 30),
         page::figure_value(key + "peak_memory_bytes", rank.peak_memory_bytes, in_bytes(rank.peak_memory_bytes)),
         page::figure_value(key + "tokens_per_second", rank.tokens_per_second,
                            format_fixed(rank.tokens_per_second, 0))});
  }
  return page::table({{"rank"}, {"host", false}, {"device", false}, {"peak memory"}, {"tokens/s"}}, rows);
}

Html checkpoints(const RunView& run) {
  page::XyChart chart{
      "step",
      "s",
      {curve(run, "checkpoint/stall_s", "training waited"), curve(run, "checkpoint/write_s", "written beside it")}};
  for (page::Series& series : chart.series) {
    series.line = false;
    series.dots = true;
  }
  chart.from_zero = true;
  const Html drawn = page::xy_chart(chart);
  const auto bytes = last_of(run.record, "checkpoint/bytes");
  if (drawn.empty()) return {};
  return page::plot("Checkpoints", drawn, bytes ? "The last one has " + in_bytes(bytes->value) + "." : "");
}

}  // namespace

Html machine_section(const RunView& run) {
  std::vector<int> attempts;
  for (const StageRecord& stage : run.record.stages)
    if (attempts.empty() || attempts.back() != stage.attempt) attempts.push_back(stage.attempt);
  const std::size_t first = attempts.size() - std::min(attempts.size(), kMostAttempts);
  std::vector<Html> parts;
  for (std::size_t i = first; i < attempts.size(); ++i) {
    const std::string title = attempts.size() == 1 ? "Stages" : "Stages of attempt " + std::to_string(attempts[i]);
    parts.push_back(timeline(stages_of(run, attempts[i]), title));
  }
  const Html ranks = of_ranks(run, "Peak memory", "bytes", &RankRecord::peak_memory_bytes, in_bytes) +
                     of_ranks(run, "Throughput in training", "tokens/s", &RankRecord::tokens_per_second, whole_tokens);
  if (!ranks.empty()) parts.push_back(element("div", {}, ranks));
  parts.push_back(checkpoints(run));
  Html html = page::grid(parts);
  if (first > 0) {
    html += page::note("Stages of the last " + std::to_string(kMostAttempts) + " of " +
                       std::to_string(attempts.size()) + " attempts.");
  }
  return run.record.ranks.empty() ? html : html + page::folded("Ranks as a table", rank_table(run));
}

}  // namespace tercet::sections
