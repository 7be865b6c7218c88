// The regression gate: a run against the last accepted run of the same element. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tercet/config/family_config.hpp"
#include "tercet/gate/gates.hpp"

namespace tercet::job {

struct ElementFigures {  // what nights are compared by; nullopt: not measured
  std::optional<double> perplexity_before, perplexity, accuracy, ratio;
  std::uint64_t packed_bytes = 0;
};

struct RegressionVerdict {
  bool passed = true;
  std::string against;            // the night compared with; empty: there was none
  std::string sentence;           // in words, with the figures
  std::vector<GateResult> gates;  // perplexity, accuracy, packed_bytes; empty when there was nothing to compare with
};

// Each figure may be worse than the accepted one by the rule's share of it at most. What was not measured, or is not
// finite, fails.
RegressionVerdict judge_regression(const RegressionSection& rules, const std::string& accepted_night,
                                   const std::optional<ElementFigures>& accepted, const ElementFigures& now);

nlohmann::json to_json(const RegressionVerdict& verdict);
RegressionVerdict regression_from_json(const nlohmann::json& object);  // throws nlohmann::json::exception

}  // namespace tercet::job
