// The quantized matrices one by one: bits, zeros, errors, scales, and how their starting points were found.
#include <algorithm>
#include <functional>
#include <limits>
#include <map>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

const json& solver_of(const RunView& run) {
  static const json kNoSolver = json::object();
  const auto found = run.record.provenance.find(kSolverKey);
  return found == run.record.provenance.end() ? kNoSolver : *found;
}

// A line for each role, over the blocks.
page::XyChart by_block(const RunView& run, const std::string& label,
                       const std::function<double(const LayerRecord&)>& value) {
  page::XyChart chart{"block", label, {}};
  std::map<std::string, std::size_t> place;
  for (const LayerRecord& layer : run.record.layers) {
    const auto block = block_of(layer.name);
    if (!block) continue;
    const auto [found, first] = place.emplace(layer.role, chart.series.size());
    if (first) chart.series.push_back({page::shortened(layer.role, 30), {}, true, true, ""});
    page::Point point{static_cast<double>(*block), value(layer)};
    point.hint = page::shortened(layer.name, 120) + ": " + page::short_number(point.y);
    chart.series[found->second].points.push_back(point);
  }
  return chart;
}

void add(std::vector<Html>& parts, const std::string& title, const page::XyChart& chart, const std::string& caption) {
  const Html drawn = page::xy_chart(chart);
  if (!drawn.empty()) parts.push_back(page::plot(title, drawn, caption));
}

double percent_of_zeros(const LayerRecord& layer) {
  return 100 * layer.sparsity;
}

void add_scales(const RunView& run, std::vector<Html>& parts) {
  page::Series series{"least, mean and greatest scale", {}, false, true, ""};
  double place = 0;
  for (const LayerRecord& layer : run.record.layers) {
    page::Point point{place++, layer.scale_mean, layer.scale_min, layer.scale_max, ""};
    point.hint = page::shortened(layer.name, 120) + ": " + page::short_number(layer.scale_min) + " to " +
                 page::short_number(layer.scale_max) + ", mean " + page::short_number(layer.scale_mean);
    series.points.push_back(point);
  }
  page::XyChart chart{"layer, in the order of the table", "scale", {series}};
  chart.log_y = std::all_of(run.record.layers.begin(), run.record.layers.end(),
                            [](const LayerRecord& layer) { return layer.scale_min > 0; });
  add(parts, "Spread of the scales", chart, "fp16 factors of the levels, of all scale blocks of a layer.");
}

Html layer_table(const RunView& run) {
  std::vector<std::vector<Html>> rows;
  const auto cell = [](double value, const std::string& shown) { return page::figure_value("", value, shown); };
  for (const LayerRecord& layer : run.record.layers) {
    if (rows.size() == kMostLayers) break;
    rows.push_back({page::shortened(layer.name, 120), page::shortened(layer.role, 30),
                    page::shortened(layer.format, 30),
                    std::to_string(layer.rows) + " \xC3\x97 " + std::to_string(layer.columns),
                    layer.group_size == 0 ? Html(kNone) : Html(std::to_string(layer.group_size)),
                    cell(layer.bits_per_weight, format_fixed(layer.bits_per_weight, 3)),
                    cell(layer.sparsity, in_percent(layer.sparsity)),
                    cell(layer.relative_error, format_fixed(layer.relative_error, 4)),
                    cell(layer.weighted_relative_error, format_fixed(layer.weighted_relative_error, 4)),
                    cell(layer.scale_mean, page::short_number(layer.scale_mean))});
  }
  Html html = page::table({{"layer", false},
                           {"role", false},
                           {"format", false},
                           {"shape"},
                           {"group"},
                           {"bits/weight"},
                           {"zeros"},
                           {"error"},
                           {"weighted error"},
                           {"mean scale"}},
                          rows);
  if (rows.size() < run.record.layers.size())
    html += page::note("The first " + std::to_string(rows.size()) + " of " + std::to_string(run.record.layers.size()) +
                       " layers; tercet report RUN --csv layers has all.");
  return html;
}

void add_solver(const RunView& run, std::vector<Html>& parts) {
  page::XyChart chart{"layer, in the order of the model", "weighted relative error", {}};
  for (const auto& [key, title] : {std::pair("error_rounding", "rounded"), {"error", "solved"}}) {
    page::Series series{title, {}, false, true, ""};
    double place = 0;
    for (const json& layer : list_in(solver_of(run), "layers")) {
      const double value = number_in(layer, key).value_or(std::numeric_limits<double>::quiet_NaN());
      series.points.push_back({place++, value});
      series.points.back().hint = page::shortened(text_in(layer, "name"), 120) + ": " + page::short_number(value);
    }
    chart.series.push_back(series);
  }
  add(parts, "Starting points", chart,
      "Error of a layer's outputs with the levels that the solver found, and with those of the rounding rule.");
}

Html fallbacks(const RunView& run) {
  const json& list = list_in(solver_of(run), "fallbacks");
  std::vector<std::vector<Html>> rows;
  for (const json& layer : list) {
    if (rows.size() == kMostLayers) break;
    rows.push_back({page::shortened(text_in(layer, "name"), 120), page::shortened(text_in(layer, "reason"), 400)});
  }
  if (rows.empty()) return {};
  return element("h3", {}, std::to_string(list.size()) + " layers took the rounding rule instead of a solution") +
         page::table({{"layer", false}, {"reason", false}}, rows);
}

}  // namespace

Html layers_section(const RunView& run) {
  if (run.record.layers.empty()) return {};
  std::vector<Html> parts;
  add(parts, "Relative error",
      by_block(run, "\xE2\x80\x96W \xE2\x88\x92 Q\xE2\x80\x96 / \xE2\x80\x96W\xE2\x80\x96",
               [](const LayerRecord& layer) { return layer.relative_error; }),
      "Frobenius norms. W: the weights before rounding, after fine-tuning the fine-tuned ones.");
  add(parts, "Weighted relative error",
      by_block(run, "weighted error", [](const LayerRecord& layer) { return layer.weighted_relative_error; }),
      "The same with columns weighted by the mean square of the layer's inputs.");
  add(parts, "Zeros", by_block(run, "% of the weights", percent_of_zeros), "Share of the weights whose level is 0.");
  page::XyChart bits = by_block(run, "bits per weight", [](const LayerRecord& layer) { return layer.bits_per_weight; });
  bits.from_zero = true;
  add(parts, "Bits per weight", bits, "Stored bytes of codes, scales and zero points, times 8 / weights.");
  add_scales(run, parts);
  add_solver(run, parts);
  return page::grid(parts) + fallbacks(run) +
         page::folded("All " + std::to_string(run.record.layers.size()) + " layers as a table", layer_table(run));
}

}  // namespace tercet::sections
