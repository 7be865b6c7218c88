// One run: while it works, and afterwards. Its finished parts are those of report.html.
#include <algorithm>
#include <cmath>

#include "dashboard/pages.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/report/status.hpp"

namespace tercet::dashboard {

using page::element;
using page::figure_value;
using page::Html;

namespace {

constexpr std::size_t kMostRanks = 1024;

std::string with_four_digits(double value) {
  return format_fixed(value, 4);
}

// Where GET /api/run has the value of a series.
std::string value_key(const std::string& series) {
  std::string escaped;
  for (const char c : series) escaped += c == '/' ? "~1" : std::string(1, c);
  return "/values/" + escaped + "/value";
}

void add_latest(const Glance& run, std::vector<page::Tile>& tiles, const std::string& series, const std::string& title,
                std::string (*format)(double), bool says_step) {
  const auto found = run.last.find(series);
  if (found == run.last.end()) return;
  tiles.push_back({title, figure_value(value_key(series), found->second.value, format(found->second.value)),
                   says_step ? "at step " + std::to_string(found->second.step) : ""});
}

Html latest(const Glance& run) {
  std::vector<page::Tile> tiles;
  add_latest(run, tiles, "evaluation/before/perplexity", "perplexity before", with_three_digits, false);
  add_latest(run, tiles, "evaluation/quantized/perplexity", "quantized", with_three_digits, false);
  add_latest(run, tiles, "evaluation/tuned by block/perplexity", "tuned by block", with_three_digits, false);
  add_latest(run, tiles, "training/loss", "loss", with_four_digits, true);
  add_latest(run, tiles, "training/held_out_perplexity", "held-out perplexity", with_three_digits, true);
  add_latest(run, tiles, "training/tokens_per_second", "tokens/s", whole, true);
  return tiles.empty() ? Html() : page::tiles(tiles);
}

Html progress_of(const WorkUnderWay& work) {
  Html html;
  if (work.total > 0) {
    html += element("progress", {{"id", "progress"},
                                 {"value", std::to_string(std::min(work.done, work.total))},
                                 {"max", std::to_string(work.total)},
                                 {"aria-label", "progress of this stage"}});
  }
  Html facts = element("li", {{"id", "stage"}}, element("b", {}, page::shortened(work.what, 120)));
  const auto fact = [&](const char* id, const Html& text) { facts += element("li", {{"id", id}}, text); };
  if (work.total > 0) {
    const double share = std::min(1.0, static_cast<double>(work.done) / static_cast<double>(work.total));
    fact("done", figure_value("/done", static_cast<double>(work.done), format_count(work.done)) + " of " +
                     figure_value("/total", static_cast<double>(work.total), format_count(work.total)));
    fact("share", format_fixed(std::floor(100 * share), 0) + " %");
  }
  if (work.pace)
    fact("rate", figure_value("/per_second", *work.pace, format_fixed(*work.pace, *work.pace < 10 ? 2 : 0)) + "/s");
  if (work.left_s) fact("left", format_duration(*work.left_s) + " left in this stage");
  return html + element("ul", {{"class", "facts"}}, facts);
}

Html now_section(const Glance& run) {
  if (run.over()) return {};
  const Html words = element("p", {{"id", "state"}}, state_in_words(run));
  return page::section("now", "Now", words + progress_of(work_under_way(run)) + latest(run));
}

Html warnings_section(const RunLook& look) {
  std::vector<std::string> words = warnings_of(look.glance);
  if (look.skipped_bytes > 0) {
    words.push_back("the journal is long: " + format_bytes(look.skipped_bytes) +
                    " in its middle were not read, and the curves lack them");
  }
  Html items;
  for (const std::string& warning : words) items += element("li", {}, page::shortened(warning, 500));
  if (items.empty()) return items;
  return page::section("warnings", "Warnings", element("ul", {{"class", "warnings"}}, items));
}

Html gate_badge(const std::string& words) {
  const std::string look = words.starts_with("pass")      ? "badge good"
                           : words.starts_with("FAIL")    ? "badge bad"
                           : words.starts_with("warning") ? "badge warn"
                                                          : "badge";
  return element("span", {{"class", look}}, words);
}

// Before the verdict: what each gate would say of the model as it was measured last.
Html gates_so_far(const Glance& run) {
  Html rows;
  for (std::size_t i = 0; i < run.gates.size(); ++i) {
    const GateRecord& gate = run.gates[i];
    const std::string key = "/gates/" + std::to_string(i) + "/value";
    const Html value =
        std::isfinite(gate.value) ? figure_value(key, gate.value, with_four_digits(gate.value)) + Html(", ") : Html();
    const Html what = element("b", {}, page::shortened(gate.name, 60)) +
                      element("span", {}, value + Html("wants " + page::shortened(gate.comparison, 60)));
    rows +=
        element("li", {{"data-gate", gate.name}},
                element("div", {}, gate_badge(gate_in_words(run, gate))) + element("div", {{"class", "what"}}, what));
  }
  if (rows.empty()) return rows;
  return page::section("gates", "Gates so far",
                       page::note("Of the model as it was measured last; the verdict comes at the end.") +
                           element("ul", {{"class", "gates so-far"}}, rows));
}

std::vector<Html> row_of(const RankState& rank, double heartbeat_age) {
  const std::string number = std::to_string(rank.rank);
  if (!rank.known) return {number, "", "", "", rank_in_words(rank), ""};
  const heartbeat::Place& place = rank.place;
  std::string where = page::shortened(place.phase, 100);
  if (place.total > 0) where += " " + std::to_string(place.done) + "/" + std::to_string(place.total);
  const double memory = static_cast<double>(rank.memory_bytes);
  return {number,
          page::shortened(rank.host, 60),
          figure_value("", memory, format_bytes(rank.memory_bytes)),
          where,
          page::shortened(rank_in_words(rank), 80),
          format_duration(rank.idle_s + rank.silent_s + heartbeat_age) + " ago"};
}

Html ranks_section(const Glance& run) {
  if (run.over() || !run.heartbeat || run.heartbeat->ranks.empty()) return {};
  const double age = std::max(0.0, run.time - run.heartbeat->time);
  std::vector<std::vector<Html>> rows;
  for (const RankState& rank : run.heartbeat->ranks) {
    if (rows.size() == kMostRanks) break;
    rows.push_back(row_of(rank, age));
  }
  const std::string words =
      "Last heartbeat " + format_duration(age) + " ago, at " + iso_time(run.heartbeat->time) + ".";
  const Html note =
      age > kLate_s ? element("p", {}, element("span", {{"class", "badge warn"}}, words)) : page::note(words);
  return page::section(
      "ranks", "Ranks",
      note + page::table(
                 {{"rank", false}, {"host", false}, {"memory"}, {"where", false}, {"state", false}, {"sign of life"}},
                 rows));
}

Html log_section(const RunLook& run) {
  if (run.log.empty()) return {};
  return page::section("log", "Log",
                       page::note("The last lines of rank 0's.") + element("pre", {{"class", "log"}}, run.log));
}

Html actions(const RunLook& run) {
  return element("p", {{"class", "actions"}},
                 link_to(address_of("/compare", {{"run", run.path}}), "compare with another run") +
                     link_to(address_of("/report", {{"path", run.path}}), "as a report") +
                     link_to(address_of("/api/run", {{"path", run.path}}), "JSON"));
}

}  // namespace

Page run_page(const RunLook& run) {
  Page page{run.view.name, {}};
  Html links;
  std::vector<Part> parts;
  for (ReportPart& part : report_parts(run.view)) {
    if (part.id == "gates" && !run.glance.judged) part.section = gates_so_far(run.glance);
    if (!part.section.empty()) links += link_to("#" + part.id, part.title);
    parts.push_back({part.id, part.section});
    if (part.id == "gates") parts.push_back({"ranks", ranks_section(run.glance)});
  }
  page.parts = {{"heading", report_heading(run.view)},
                {"links", element("nav", {}, links) + actions(run)},
                {"now", now_section(run.glance)},
                {"warnings", warnings_section(run)}};
  page.parts.insert(page.parts.end(), parts.begin(), parts.end());
  page.parts.push_back({"log", log_section(run)});
  return page;
}

Page unreadable_page(const std::string& path, const std::string& reason) {
  return {path,
          {{"heading", element("h1", {}, page::shortened(path, 200)) + element("p", {}, badge("unreadable")) +
                           element("p", {}, page::shortened(reason, 2000))}}};
}

}  // namespace tercet::dashboard
