#include "compressed_tensors_view.hpp"

#include <regex>

#include "tercet/base/strict_json.hpp"

namespace tercet::compressed_tensors_check {

using nlohmann::json;

namespace {

bool targets(const std::string& target, const std::string& module) {
  if (target == "Linear" || target == module) return true;
  constexpr std::size_t kLongest = 512;  // as std::regex recurses
  if (!target.starts_with("re:") || target.size() > kLongest || module.size() > kLongest) return false;
  return std::regex_search(module, std::regex(target.substr(3)), std::regex_constants::match_continuous);
}

}  // namespace

std::int64_t code_at(const std::int32_t* words, std::int64_t stride, std::int64_t index, std::int64_t bits) {
  std::int64_t code = 0;
  for (std::int64_t k = 0; k < bits; ++k) {
    const std::int64_t bit = index * bits + k;
    code |= static_cast<std::int64_t>(static_cast<std::uint32_t>(words[bit / 32 * stride]) >> bit % 32 & 1) << k;
  }
  return code;
}

bool is_ignored(const json& settings, const std::string& module) {
  for (const auto& name : settings.value("ignore", json::array())) {
    if (name.is_string() && targets(name.get<std::string>(), module)) return true;
  }
  return false;
}

std::vector<Scheme> schemes_of(const json& settings, const std::string& module) {
  std::vector<Scheme> found;
  const json groups = settings.value("config_groups", json::object());
  for (const auto& [name, group] : groups.items()) {
    bool meant = false;
    for (const auto& target : group.at("targets")) meant = meant || targets(target.get<std::string>(), module);
    if (!meant) continue;
    const json& weights = group.at("weights");
    const bool by_group = weights.at("strategy") == "group";
    const std::int64_t bits = json_integer(weights.at("num_bits"), "num_bits", name, 1, 8);
    const std::int64_t size = by_group ? json_integer(weights.at("group_size"), "group_size", name, 1, 1 << 20) : 0;
    found.push_back({bits, size, weights.at("symmetric") == true});
  }
  return found;
}

}  // namespace tercet::compressed_tensors_check
