#include "report/allocation_text.hpp"

#include <map>
#include <utility>
#include <vector>

#include "tercet/base/text.hpp"
#include "tercet/report/results.hpp"

namespace tercet {

std::string allocation_text(const RunRecord& run) {
  if (!run.provenance.contains(kAllocationKey)) return "";
  const nlohmann::json& allocation = run.provenance.at(kAllocationKey);
  std::map<std::string, std::pair<int, double>> formats;
  for (const nlohmann::json& layer : allocation.at("layers")) {
    const nlohmann::json& chosen = layer.at("candidates").at(layer.at("chosen").get<std::size_t>());
    auto& [layers, bytes] = formats[chosen.at("format").get<std::string>()];
    ++layers;
    bytes += chosen.at("bytes").get<double>();
  }
  const auto number = [&](const char* key, int digits) {
    const bool known = allocation.contains(key) && allocation.at(key).is_number();
    return known ? format_fixed(allocation.at(key).get<double>(), digits) : std::string("-");
  };
  std::string text =
      "\nbits per layer for " + allocation.at("target").get<std::string>() + "\n" +
      format_table({{"", "predicted", "came out"},
                    {"bytes of the packed file", number("predicted_bytes", 0), number("written_bytes", 0)},
                    {"growth of the loss before tuning, nats a token", number("predicted_nll_growth", 5),
                     number("measured_nll_growth", 5)}});
  std::vector<std::vector<std::string>> rows = {{"format", "layers", "bytes"}};
  for (const auto& [format, count] : formats)
    rows.push_back({format, std::to_string(count.first), format_fixed(count.second, 0)});
  return text + format_table(rows);
}

}  // namespace tercet
