// Bits per layer that were chosen for a target: what was planned, and what came out.
#include <algorithm>
#include <map>

#include "report/html_sections.hpp"
#include "tercet/base/text.hpp"
#include "tercet/page/chart.hpp"

namespace tercet::sections {

using nlohmann::json;
using page::element;
using page::Html;

namespace {

std::string five_digits(double value) {
  return format_fixed(value, 5);
}

// A figure of the allocation under its place in the JSON.
Html allocated(const json& allocation, const char* key, std::string (*format)(double)) {
  return figure(std::string("/provenance/allocation/") + key, number_in(allocation, key), format);
}

std::string whole_bytes(double bytes) {
  return bytes >= 0 && bytes < 1e18 ? format_count(static_cast<std::uint64_t>(bytes)) : format_fixed(bytes, 0);
}

Html totals(const json& allocation) {
  const std::string target = page::shortened(text_in(allocation, "target"), 120);
  const bool by_divergence = text_in(allocation, "sensitivity") == "kl";
  std::vector<std::vector<Html>> rows = {
      {"bytes of the packed file", allocated(allocation, "predicted_bytes", whole_bytes),
       allocated(allocation, "written_bytes", whole_bytes)},
      {"growth of the loss before tuning, nats per token", allocated(allocation, "predicted_nll_growth", five_digits),
       allocated(allocation, "measured_nll_growth", five_digits)}};
  if (by_divergence) {
    rows.push_back({"KL from the original before tuning, nats per token",
                    allocated(allocation, "predicted_loss", five_digits),
                    allocated(allocation, "measured_kl", five_digits)});
  }
  return element("p", {}, "Chosen for " + target + ".") + page::table({{"", false}, {"planned"}, {"came out"}}, rows);
}

struct ChosenLayer {
  std::string name, format;
  std::optional<double> bytes, loss;
  const LayerRecord* stored = nullptr;  // as it came out
};

std::string format_of(const json& candidate) {
  std::string text = text_in(candidate, "format");
  if (const auto group = number_in(candidate, "group_size")) text += ", groups of " + format_fixed(*group, 0);
  if (text_in(candidate, "granularity") == "channel") text += ", by row";
  const auto symmetric = candidate.find("symmetric");
  if (symmetric != candidate.end() && *symmetric == false) text += ", with zero points";
  return page::shortened(text, 80);
}

std::vector<ChosenLayer> chosen_layers(const RunView& run, const json& allocation) {
  std::map<std::string, const LayerRecord*> stored;
  for (const LayerRecord& layer : run.record.layers) stored[layer.name] = &layer;
  std::vector<ChosenLayer> layers;
  for (const json& layer : list_in(allocation, "layers")) {
    const json& candidates = list_in(layer, "candidates");
    const auto chosen = number_in(layer, "chosen");
    if (!chosen || !(*chosen >= 0) || !(*chosen < static_cast<double>(candidates.size()))) continue;
    const json& candidate = candidates.at(static_cast<std::size_t>(*chosen));
    if (!candidate.is_object()) continue;
    const std::string name = text_in(layer, "name");
    const auto found = stored.find(name);
    layers.push_back({name, format_of(candidate), number_in(candidate, "bytes"), number_in(candidate, "loss"),
                      found == stored.end() ? nullptr : found->second});
  }
  return layers;
}

Html formats_chart(const std::vector<ChosenLayer>& layers) {
  std::map<std::string, std::pair<int, double>> formats;  // layers and bytes
  double most = 0;
  for (const ChosenLayer& layer : layers) {
    auto& [count, bytes] = formats[layer.format];
    ++count;
    bytes += layer.bytes.value_or(0);
    most = std::max(most, bytes);
  }
  std::vector<page::Track> rows;
  for (const auto& [format, sum] : formats) {
    rows.push_back({format, std::to_string(sum.first) + " layers, " + in_bytes(sum.second), {{0, sum.second, 0, ""}}});
  }
  if (!(most > 0)) return {};
  return page::plot("Formats that were chosen", page::tracks(rows, 0, most), "Bytes of codes, scales and zero points.");
}

Html rounds_chart(const RunView& run) {
  page::XyChart chart{"round", "nats per token", {}};
  for (const auto& [name, title] : {std::pair("allocation/predicted_nll_growth", "planned"),
                                    std::pair("allocation/measured_nll_growth", "measured")}) {
    page::Series series = curve(run, name, title);
    series.dots = true;
    chart.series.push_back(series);
  }
  const Html drawn = page::xy_chart(chart);
  if (drawn.empty()) return {};
  return page::plot("Rounds of the search", drawn,
                    "Growth of the loss on the selection windows, for each choice tried.");
}

std::optional<double> planned_bits(const ChosenLayer& layer) {
  if (layer.stored == nullptr || !layer.bytes) return std::nullopt;
  const double weights = static_cast<double>(layer.stored->rows) * static_cast<double>(layer.stored->columns);
  return weights > 0 ? std::optional(8 * *layer.bytes / weights) : std::nullopt;
}

Html layers_table(const std::vector<ChosenLayer>& layers) {
  const auto cell = [](const std::optional<double>& value, const std::function<std::string(double)>& format) {
    return figure("", value, format);
  };
  std::vector<std::vector<Html>> rows;
  for (const ChosenLayer& layer : layers) {
    if (rows.size() == kMostLayers) break;
    const auto stored = layer.stored == nullptr ? std::nullopt : std::optional(layer.stored->bits_per_weight);
    rows.push_back({page::shortened(layer.name, 120), layer.format, cell(planned_bits(layer), with_three_digits),
                    cell(stored, with_three_digits), cell(layer.loss, page::short_number)});
  }
  return page::table({{"layer", false}, {"format", false}, {"bits/weight, planned"}, {"stored"}, {"loss, planned"}},
                     rows);
}

}  // namespace

Html bits_section(const RunView& run) {
  if (!run.record.provenance.contains(kAllocationKey)) return {};
  const json& allocation = run.record.provenance.at(kAllocationKey);
  const std::vector<ChosenLayer> layers = chosen_layers(run, allocation);
  std::vector<Html> parts = {page::wide(totals(allocation))};
  if (!layers.empty()) parts.push_back(formats_chart(layers));
  parts.push_back(rounds_chart(run));
  Html html = page::grid(parts);
  if (!layers.empty())
    html += page::folded("The format of each of " + std::to_string(layers.size()) + " layers", layers_table(layers));
  return html;
}

}  // namespace tercet::sections
