#include "bit_choices.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "layer_formats.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

constexpr double kMegabyte = 1e6;

bool is_fixed(const QuantizationSection& settings, const Parameter& parameter) {
  return std::any_of(settings.layers.begin(), settings.layers.end(),
                     [&](const LayerFormat& row) { return names(row, parameter); }) ||
         std::any_of(settings.skip.begin(), settings.skip.end(),
                     [&](const std::string& pattern) { return matches(pattern, parameter.name); });
}

// Bytes of the baseline that target.ratio is against.
double baseline_bytes(const JobConfig& config, const Decoder& model, std::uint64_t original_bytes) {
  const std::string& baseline = config.gates.compression_baseline;
  if (baseline == "file") return static_cast<double>(original_bytes);
  return (baseline == "fp16" ? 2.0 : 4.0) * static_cast<double>(model.parameter_count());
}

std::string digits(double value) {
  return format_fixed(value, 4);
}

}  // namespace

BitChoices::BitChoices(const JobConfig& config, const Decoder& model)
    : config_(config), model_(model), usual_(plan_storage(config.quantization, model.parameters())) {
  find_formats();
  const auto is_free = [](const FreeLayer& layer) { return layer.formats.size() > 1; };
  if (std::none_of(layers_.begin(), layers_.end(), is_free)) {
    throw ConfigError(
        target_text(config.target) + " has nothing to choose", "no matrix has more than one format that it may take",
        "give allocation.formats more of them, or leave more matrices free of quantization.layers and skip");
  }
  find_costs();
}

// Groups are checked row by row, so that a misfit is said with the row that has it.
void BitChoices::find_formats() {
  const QuantizationSection& settings = config_.quantization;
  const std::vector<Parameter>& parameters = model_.parameters();
  check_names("allocation.formats", config_.allocation.formats, parameters);
  std::map<std::size_t, std::vector<FormatSpec>> found;
  const auto add = [&](std::size_t index, const FormatSpec& spec) {
    auto& formats = found[index];
    const auto same = [&](const FormatSpec& other) { return storage_key({{other, {}}}) == storage_key({{spec, {}}}); };
    if (std::none_of(formats.begin(), formats.end(), same)) formats.push_back(spec);
  };
  for (std::size_t row = 0; row < config_.allocation.formats.size(); ++row) {
    const LayerFormat& format = config_.allocation.formats[row];
    std::vector<ChosenFormat> chosen(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (is_fixed(settings, parameters[i]) || !names(format, parameters[i])) continue;
      chosen[i] = format_by_row(settings, format, "allocation.formats[" + std::to_string(row) + "]", parameters[i]);
      add(i, chosen[i].spec);
    }
    check_groups(chosen, parameters);
  }
  for (const std::string& bits : config_.allocation.tables) {
    std::vector<ChosenFormat> chosen(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!is_table(parameters[i].role) || is_fixed(settings, parameters[i])) continue;
      chosen[i] = {table_format(bits, settings.table_group_size), "quantization.table_group_size"};
      add(i, chosen[i].spec);
    }
    check_groups(chosen, parameters);
  }
  for (std::size_t i = 0; i < usual_.size(); ++i) {
    if (usual_[i].spec->format->is_grid() && !found.contains(i)) found[i] = {*usual_[i].spec};
  }
  for (auto& [index, formats] : found) layers_.push_back({index, std::move(formats)});
}

// What a layer's format adds is measured on the file itself, once for each shape and format.
void BitChoices::find_costs() {
  std::map<std::string, std::int64_t> known;
  const std::vector<std::size_t> first(layers_.size(), 0);
  const auto whole = static_cast<std::int64_t>(packed_bytes(first));
  std::vector<std::size_t> smallest(layers_.size()), largest(layers_.size());
  std::int64_t base = whole;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    std::vector<std::int64_t> added;
    const std::vector<std::int64_t> shape = output_first_shape(model_.parameters()[layers_[layer].parameter]);
    for (std::size_t format = 0; format < layers_[layer].formats.size(); ++format) {
      const std::string key = std::to_string(shape[0]) + " " + std::to_string(shape[1]) + " " +
                              storage_key({{layers_[layer].formats[0], {}}}) +
                              storage_key({{layers_[layer].formats[format], {}}});
      if (!known.contains(key)) {
        std::vector<std::size_t> chosen = first;
        chosen[layer] = format;
        known[key] = static_cast<std::int64_t>(packed_bytes(chosen)) - whole;
      }
      added.push_back(known[key]);
    }
    const auto [least, most] = std::minmax_element(added.begin(), added.end());
    smallest[layer] = static_cast<std::size_t>(least - added.begin());
    largest[layer] = static_cast<std::size_t>(most - added.begin());
    base += *least;
    std::vector<std::uint64_t>& costs = costs_.emplace_back();
    for (const std::int64_t bytes : added) costs.push_back(static_cast<std::uint64_t>(bytes - *least));
  }
  base_ = static_cast<std::uint64_t>(base);
  smallest_ = packed_bytes(smallest);
  largest_ = packed_bytes(largest);
}

std::vector<ParameterPlan> BitChoices::storage(const std::vector<std::size_t>& chosen) const {
  std::vector<ParameterPlan> storage = usual_;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer)
    storage[layers_[layer].parameter].spec = layers_[layer].formats.at(chosen.at(layer));
  return storage;
}

std::uint64_t BitChoices::packed_bytes(const std::vector<std::size_t>& chosen) const {
  return artifact_bytes(unfilled_artifact(config_, model_, storage(chosen))).packed;
}

Frontier BitChoices::frontier(const std::vector<std::vector<double>>& losses) const {
  std::vector<std::vector<Candidate>> table;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    std::vector<Candidate>& row = table.emplace_back();
    for (std::size_t format = 0; format < costs_[layer].size(); ++format)
      row.push_back({costs_[layer][format], losses.at(layer).at(format)});
  }
  return Frontier(table);
}

// Asked for what is left of the budget, the frontier answers in its own bytes; the true ones tell by how much to
// correct.
Choice BitChoices::within(const Frontier& frontier, std::uint64_t budget) const {
  constexpr int kCorrections = 8;
  Choice best = frontier.smallest();
  best.bytes = packed_bytes(best.candidates);
  std::int64_t ask = static_cast<std::int64_t>(budget) - static_cast<std::int64_t>(base_);
  std::set<std::int64_t> asked;
  for (int i = 0; i < kCorrections && asked.insert(ask).second; ++i) {
    std::optional<Choice> choice = frontier.least_loss(static_cast<std::uint64_t>(std::max<std::int64_t>(0, ask)));
    if (!choice) break;
    const std::uint64_t own = choice->bytes;
    choice->bytes = packed_bytes(choice->candidates);
    if (choice->bytes <= budget && (best.bytes > budget || choice->loss < best.loss)) best = *choice;
    // The next state is one that the difference between true bytes and own bytes lets in, or shuts out.
    const std::int64_t difference = static_cast<std::int64_t>(choice->bytes) - static_cast<std::int64_t>(base_ + own);
    ask = static_cast<std::int64_t>(budget) - static_cast<std::int64_t>(base_) - difference;
    if (choice->bytes > budget) ask = std::min(ask, static_cast<std::int64_t>(own) - 1);
  }
  return best;
}

std::vector<std::vector<double>> BitChoices::assumed_losses() const {
  std::vector<std::vector<double>> losses;
  for (const FreeLayer& layer : layers_) {
    std::vector<double>& row = losses.emplace_back();
    const auto weights = static_cast<double>(model_.parameters()[layer.parameter].value.numel());
    for (const FormatSpec& spec : layer.formats) {
      const LevelRange levels =
          spec.format->is_grid() ? spec.format->levels(spec.symmetric) : LevelRange{-32768, 32767};
      row.push_back(weights * std::pow(levels.highest - levels.lowest + 1, -2.0));
    }
  }
  return losses;
}

std::optional<std::uint64_t> byte_budget(const JobConfig& config, const Decoder& model, std::uint64_t original_bytes) {
  const TargetSection& target = config.target;
  if (target.size_mb > 0) return static_cast<std::uint64_t>(target.size_mb * kMegabyte);
  if (target.ratio > 0) return static_cast<std::uint64_t>(baseline_bytes(config, model, original_bytes) / target.ratio);
  if (target.like == "none") return std::nullopt;
  QuantizationSection uniform = as_for(config.quantization, {.format = target.like});
  return artifact_bytes(unfilled_artifact(config, model, plan_storage(uniform, model.parameters()))).packed;
}

namespace {

// A budget that holds the original as it is asks for nothing.
void check_smaller_than(const JobConfig& config, const Decoder& model, const BitChoices& choices, std::uint64_t budget,
                        std::uint64_t original_bytes) {
  if (budget < original_bytes) return;
  const auto largest = static_cast<double>(choices.largest_bytes());
  const double ratio = baseline_bytes(config, model, original_bytes) / largest;
  throw ConfigError(
      target_text(config.target) + " is met by the original as it is: it has " + format_count(original_bytes) +
          " bytes, and " + format_count(budget) + " are allowed",
      "with the largest of allocation.formats the packed file has " + format_count(choices.largest_bytes()) + " bytes",
      config.target.ratio > 0 ? "target.ratio: " + digits(std::ceil(ratio * 100) / 100) + " or more"
                              : "target.size_mb: " + digits(std::floor(largest / 100) * 100 / kMegabyte) + " or less");
}

// What would be rejected when all is done is said before it begins.
void warn_of_gate(const JobConfig& config, const Decoder& model, const BitChoices& choices, std::uint64_t budget,
                  std::uint64_t original_bytes) {
  const auto& gate = config.gates.compression;
  const auto bytes = static_cast<double>(std::min(budget, choices.largest_bytes()));
  const double ratio = baseline_bytes(config, model, original_bytes) / bytes;
  if (gate.severity != "fail" || ratio >= gate.threshold) return;
  log::warn(target_text(config.target) + " comes to 1/" + digits(ratio) + " of the bytes of the baseline, and " +
            "gates.compression asks for 1/" + digits(gate.threshold) +
            ": the result will be rejected. Lower gates.compression.threshold, or ask for a smaller file");
}

}  // namespace

void check_budget(const JobConfig& config, const Decoder& model, const BitChoices& choices,
                  std::uint64_t original_bytes) {
  const std::optional<std::uint64_t> budget = byte_budget(config, model, original_bytes);
  if (budget && config.target.like == "none") check_smaller_than(config, model, choices, *budget, original_bytes);
  if (!budget) return;
  if (*budget >= choices.smallest_bytes()) return warn_of_gate(config, model, choices, *budget, original_bytes);
  const auto smallest = static_cast<double>(choices.smallest_bytes());
  std::string works = "target.size_mb: " + digits(std::ceil(smallest / 100) * 100 / kMegabyte) + " works";
  if (config.target.ratio > 0) {
    const double ratio = baseline_bytes(config, model, original_bytes) / smallest;
    works = "target.ratio: " + digits(std::floor(ratio * 100) / 100) + " works";
  }
  throw ConfigError(target_text(config.target) + " cannot be met: at most " + format_count(*budget) + " bytes",
                    "with allocation.formats the packed file has " + format_count(choices.smallest_bytes()) + " to " +
                        format_count(choices.largest_bytes()) + " bytes",
                    works + ", or smaller formats and allocation.tables");
}

std::string target_text(const TargetSection& target) {
  const auto shown = [](double value) { return nlohmann::json(value).dump(); };  // as it was written
  if (target.perplexity_degradation > 0)
    return "target.perplexity_degradation: " + shown(target.perplexity_degradation);
  if (target.size_mb > 0) return "target.size_mb: " + shown(target.size_mb);
  if (target.ratio > 0) return "target.ratio: " + shown(target.ratio);
  return "target.like: " + target.like;
}

}  // namespace tercet::job
