// How often each trit occurs: in the whole model, and by role.
#include <algorithm>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using page::Html;

namespace {

constexpr const char* kMinusOne =
    "\xE2\x88\x92"
    "1";

page::Track track_of(const std::string& name, const TritCounts& counts) {
  const double sum = counts.sum(), minus = counts.minus / sum, zero = counts.zero / sum, plus = counts.plus / sum;
  const auto percent = [](double share) { return format_fixed(100 * share, 1); };
  return {name,
          percent(minus) + " \xC2\xB7 " + percent(zero) + " \xC2\xB7 " + percent(plus) + " %",
          {{0, minus, 8, std::string(kMinusOne) + ": " + in_percent(minus)},
           {minus, minus + zero, 9, "0: " + in_percent(zero)},
           {minus + zero, 1, 10, "+1: " + in_percent(plus)}}};
}

std::string role_of(const RunView& run, const std::string& name) {
  const auto found = std::find_if(run.record.layers.begin(), run.record.layers.end(),
                                  [&](const LayerRecord& layer) { return layer.name == name; });
  return found == run.record.layers.end() ? "other" : page::shortened(found->role, 30);
}

void add_counts(TritCounts& sum, const TritCounts& more) {
  sum.minus += more.minus;
  sum.zero += more.zero;
  sum.plus += more.plus;
}

Html histogram(const TritCounts& all) {
  std::vector<page::Track> rows;
  const auto add = [&](const char* name, double count, int color) {
    const double share = count / all.sum();
    rows.push_back({name,
                    format_count(static_cast<std::uint64_t>(count)) + " \xC2\xB7 " + in_percent(share),
                    {{0, share, color, ""}}});
  };
  add(kMinusOne, all.minus, 8);
  add("0", all.zero, 9);
  add("+1", all.plus, 10);
  return page::plot("All ternary weights", page::tracks(rows, 0, 1), "Counted in the packed model.");
}

}  // namespace

Html trits_section(const RunView& run) {
  if (run.trits.empty()) return {};
  TritCounts all;
  std::vector<std::pair<std::string, TritCounts>> roles;
  for (const TritCounts& layer : run.trits) {
    add_counts(all, layer);
    const std::string role = role_of(run, layer.name);
    auto place = std::find_if(roles.begin(), roles.end(), [&](const auto& known) { return known.first == role; });
    if (place == roles.end()) place = roles.insert(roles.end(), {role, {}});
    add_counts(place->second, layer);
  }
  std::vector<page::Track> rows = {track_of("all " + std::to_string(run.trits.size()) + " ternary layers", all)};
  for (const auto& [role, counts] : roles) rows.push_back(track_of(role, counts));
  return page::grid(
      {histogram(all), page::plot("Shares by role", page::tracks(rows, 0, 1),
                                  std::string(kMinusOne) + " from the left, 0 in the middle, +1 on the right.")});
}

}  // namespace tercet::sections
