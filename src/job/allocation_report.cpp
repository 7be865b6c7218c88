#include "allocation_report.hpp"

#include <algorithm>
#include <map>

#include "layer_formats.hpp"
#include "tercet/base/text.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::uint64_t bytes_of(const Parameter& parameter, const FormatSpec& spec) {
  return stored_bytes(unfilled(output_first_shape(parameter), spec));
}

nlohmann::json format_json(const FormatSpec& spec) {
  nlohmann::json json{{"format", spec.format->name()}};
  if (!spec.format->is_grid()) return json;
  json["granularity"] = to_string(spec.granularity);
  if (spec.granularity == Granularity::kGroup) json["group_size"] = spec.group_size;
  json["symmetric"] = spec.symmetric;
  json["rule"] = to_string(spec.rule);
  return json;
}

}  // namespace

std::string allocation_table(const QuantizationSection& settings, const Decoder& model, const BitChoices& choices,
                             const Choice& choice) {
  FormatSpec usual;
  usual.granularity = granularity(settings.granularity);
  usual.group_size = settings.group_size;
  std::vector<Role> roles;
  std::map<int, std::map<Role, std::string>> cells;
  for (std::size_t i = 0; i < choices.layers().size(); ++i) {
    const Parameter& parameter = model.parameters()[choices.layers()[i].parameter];
    if (std::find(roles.begin(), roles.end(), parameter.role) == roles.end()) roles.push_back(parameter.role);
    cells[parameter.layer][parameter.role] = short_name(choices.layers()[i].formats[choice.candidates[i]], usual);
  }
  Rows rows{{"block"}};
  for (const Role role : roles) rows[0].push_back(to_string(role));
  for (const auto& [block, row] : cells) {
    std::vector<std::string>& line = rows.emplace_back();
    line.push_back(block < 0 ? "tables" : std::to_string(block));
    for (const Role role : roles) line.push_back(row.contains(role) ? row.at(role) : "");
  }
  return format_table(rows);
}

nlohmann::json allocation_record(const JobConfig& config, const Decoder& model, const BitChoices& choices,
                                 const BitAllocation& allocation) {
  auto layers = nlohmann::json::array(), rounds = nlohmann::json::array();
  for (std::size_t i = 0; i < choices.layers().size(); ++i) {
    const FreeLayer& layer = choices.layers()[i];
    const Parameter& parameter = model.parameters()[layer.parameter];
    const std::size_t chosen = allocation.choice.candidates[i];
    auto candidates = nlohmann::json::array();
    for (std::size_t f = 0; f < layer.formats.size(); ++f) {
      nlohmann::json candidate = format_json(layer.formats[f]);
      candidate["bytes"] = bytes_of(parameter, layer.formats[f]);
      candidate["loss"] = allocation.losses[i][f];
      candidates.push_back(candidate);
    }
    layers.push_back({{"name", parameter.name}, {"chosen", chosen}, {"candidates", candidates}});
  }
  for (const Trial& trial : allocation.rounds)
    rounds.push_back({{"bytes", choices.packed_bytes(trial.choice.candidates)},
                      {"loss", trial.choice.loss},
                      {"predicted_nll_growth", trial.predicted},
                      {"measured_nll_growth", trial.measured}});
  return {{"target", target_text(config.target)},
          {"sensitivity", config.allocation.sensitivity},
          {"smallest_bytes", choices.smallest_bytes()},
          {"largest_bytes", choices.largest_bytes()},
          {"budget_bytes", allocation.budget ? nlohmann::json(*allocation.budget) : nlohmann::json()},
          {"predicted_bytes", allocation.choice.bytes},
          {"predicted_loss", allocation.choice.loss},
          {"predicted_nll_growth",
           allocation.predicted_growth ? nlohmann::json(*allocation.predicted_growth) : nlohmann::json()},
          {"exact", allocation.exact},
          {"layers", layers},
          {"rounds", rounds}};
}

}  // namespace tercet::job
