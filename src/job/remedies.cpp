#include "remedies.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "layer_formats.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

constexpr std::int64_t kSmallestGroup = 8;

int levels_of(const NumberFormat& format) {
  const LevelRange levels = format.levels(true);
  return levels.highest - levels.lowest + 1;
}

// The smallest grid that tells clearly more values apart, or fp16 above all of them: int3 after trits and int2.
std::string next_format(const std::string& name) {
  constexpr double kClearlyMore = 1.7;
  const NumberFormat& format = *number_format(name);
  if (!format.is_grid()) return "";
  const NumberFormat* next = nullptr;
  for (const NumberFormat* other : number_formats()) {
    if (!other->is_grid() || levels_of(*other) < kClearlyMore * levels_of(format)) continue;
    if (next == nullptr || levels_of(*other) < levels_of(*next)) next = other;
  }
  return next == nullptr ? "float16" : next->name();
}

bool is_group(std::int64_t size) {
  return size >= kSmallestGroup && size % 4 == 0;
}

FormatSpec lifted(const QuantizationSection& settings, const Parameter& parameter, const FormatSpec& spec) {
  LayerFormat row{.match = parameter.name, .format = next_format(spec.format->name())};
  row.granularity = to_string(spec.granularity);
  row.group_size = spec.group_size;
  if (spec.granularity == Granularity::kGroup) {  // integers have no short groups
    const std::int64_t common = std::gcd(output_first_shape(parameter)[1], spec.group_size);
    if (is_group(common)) row.group_size = common;
    if (!is_group(common)) row.granularity = "channel";
  }
  return format_by_row(settings, row, "remedies", parameter).spec;
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kShown ? text + " and " + std::to_string(names.size() - kShown) + " more" : text;
}

// Places of the matrices inside the blocks that have a higher format, the largest weighted error first.
std::vector<std::size_t> by_error(const std::vector<Parameter>& parameters, const std::vector<ParameterPlan>& storage,
                                  const std::vector<LayerRecord>& layers) {
  std::vector<std::pair<double, std::size_t>> places;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!is_block_linear(parameters[i].role) || next_format(storage[i].spec->format->name()).empty()) continue;
    const auto layer = std::find_if(layers.begin(), layers.end(),
                                    [&](const LayerRecord& record) { return record.name == parameters[i].name; });
    if (layer != layers.end()) places.emplace_back(layer->weighted_relative_error, i);
  }
  std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::size_t> indices;
  for (const auto& [error, index] : places) indices.push_back(index);
  return indices;
}

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

}  // namespace

bool can_help(const std::string& gate) {
  return gate == "accuracy" || gate == "perplexity";
}

RemedyChoice choose_remedy(const RemedyRequest& request) {
  if (request.rounds == 0) return {};
  for (const std::string& gate : request.failed) {
    if (!can_help(gate)) return {"", "no remedy helps the gate " + gate};
  }
  if (static_cast<std::int64_t>(request.tried.size()) >= request.rounds)
    return {"", "the budget of " + std::to_string(request.rounds) + " rounds is used"};
  std::string best;
  std::vector<std::string> obstacles;
  const auto times = [&](const std::string& remedy) {
    return std::count(request.at_this.begin(), request.at_this.end(), remedy);
  };
  for (const std::string& remedy : request.order) {
    const std::string obstacle = request.obstacle(remedy);
    if (!obstacle.empty()) {
      obstacles.push_back(remedy + ": " + obstacle);
    } else if (best.empty() || times(remedy) < times(best)) {
      best = remedy;
    }
  }
  if (best.empty()) return {"", "no remedy is left: " + joined(obstacles, "; ")};
  return {best, best + " is tried" + (obstacles.empty() ? "" : "; not " + joined(obstacles, "; "))};
}

FormatChange lift_layers(const QuantizationSection& settings, const std::vector<Parameter>& parameters,
                         const std::vector<ParameterPlan>& storage, const std::vector<LayerRecord>& layers,
                         double share) {
  std::vector<std::size_t> places = by_error(parameters, storage, layers);
  if (places.empty()) return {};
  const auto matrices = static_cast<double>(
      std::count_if(parameters.begin(), parameters.end(), [](const auto& each) { return is_block_linear(each.role); }));
  const auto wanted = static_cast<std::size_t>(std::max(1.0, std::floor(share * matrices)));
  places.resize(std::min(wanted, places.size()));
  FormatChange change{storage, ""};
  std::vector<std::string> names;
  for (const std::size_t i : places) {
    change.storage[i].spec = lifted(settings, parameters[i], *storage[i].spec);
    names.push_back(parameters[i].name + " to " + change.storage[i].spec->format->name());
  }
  change.did = std::to_string(names.size()) + " matrices lifted: " + list_of(names);
  return change;
}

FormatChange halve_groups(const std::vector<Parameter>& parameters, const std::vector<ParameterPlan>& storage) {
  FormatChange change{storage, ""};
  std::set<std::int64_t> before;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    FormatSpec& spec = *change.storage[i].spec;
    const bool by_group = spec.format->is_grid() && spec.granularity == Granularity::kGroup;
    if (!is_block_linear(parameters[i].role) || !by_group || !is_group(spec.group_size / 2)) continue;
    before.insert(spec.group_size);
    spec.group_size /= 2;
  }
  if (before.empty()) return {};
  std::vector<std::string> sizes;
  for (const std::int64_t size : before) sizes.push_back(std::to_string(size) + " to " + std::to_string(size / 2));
  change.did = "groups halved: " + joined(sizes, ", ");
  return change;
}

}  // namespace tercet::job
