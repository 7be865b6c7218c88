#include "family_regression.hpp"

#include <cmath>
#include <limits>

#include "tercet/base/text.hpp"
#include "tercet/store/number_json.hpp"

namespace tercet::job {
namespace {

using nlohmann::json;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct Comparison {
  std::string name;
  const GateSetting& rule;
  double accepted, now;
  bool more_is_better;
  int digits;
};

GateResult judge(const Comparison& pair) {
  const double share = pair.more_is_better ? 1 - pair.rule.threshold : 1 + pair.rule.threshold;
  const double bound = pair.accepted * share;
  const bool known = std::isfinite(pair.now) && std::isfinite(bound);
  const bool holds = known && (pair.more_is_better ? pair.now >= bound : pair.now <= bound);
  GateResult result;
  result.name = pair.name;
  result.severity = pair.rule.severity;
  result.verdict = pair.rule.severity == "off" ? "off" : holds ? "pass" : "fail";
  result.value = pair.now;
  result.threshold = bound;
  result.comparison = (pair.more_is_better ? ">= " : "<= ") + format_fixed(bound, pair.digits);
  result.evidence = pair.name + " " + format_fixed(pair.now, pair.digits) + ", accepted " +
                    format_fixed(pair.accepted, pair.digits) + ", wants " + result.comparison;
  return result;
}

// Another text or another original makes the packed figures incomparable; a person has to know.
std::string moved_ground(const ElementFigures& accepted, const ElementFigures& now) {
  if (accepted.perplexity_before == now.perplexity_before) return "";
  return "; the original's own perplexity was " + format_fixed(accepted.perplexity_before.value_or(kUnknown), 4) +
         " then and is " + format_fixed(now.perplexity_before.value_or(kUnknown), 4) + ": another text or model";
}

}  // namespace

RegressionVerdict judge_regression(const RegressionSection& rules, const std::string& accepted_night,
                                   const std::optional<ElementFigures>& accepted, const ElementFigures& now) {
  RegressionVerdict verdict;
  if (!accepted) {
    verdict.sentence = "nothing to compare with: no run of this element was accepted before";
    return verdict;
  }
  verdict.against = accepted_night;
  const auto number = [](const std::optional<double>& value) { return value.value_or(kUnknown); };
  verdict.gates = {
      judge({"perplexity", rules.perplexity, number(accepted->perplexity), number(now.perplexity), false, 4}),
      judge({"accuracy", rules.accuracy, number(accepted->accuracy), number(now.accuracy), true, 4}),
      judge({"packed_bytes", rules.packed_bytes, static_cast<double>(accepted->packed_bytes),
             static_cast<double>(now.packed_bytes), false, 0}),
  };
  std::string misses;
  for (const GateResult& gate : verdict.gates) {
    if (gate.verdict != "fail") continue;
    misses += (misses.empty() ? "" : "; ") + gate.evidence + (gate.severity == "warn" ? " (warning)" : "");
    if (gate.severity == "fail") verdict.passed = false;
  }
  verdict.sentence = "against " + accepted_night + ": " +
                     (misses.empty() ? "no worse than tolerated, " + verdict.gates[0].evidence : misses) +
                     moved_ground(*accepted, now);
  return verdict;
}

json to_json(const RegressionVerdict& verdict) {
  json gates = json::array();
  for (const GateResult& gate : verdict.gates) {
    gates.push_back({{"name", gate.name},
                     {"verdict", gate.verdict},
                     {"severity", gate.severity},
                     {"value", number_to_json(gate.value)},
                     {"wants", gate.comparison},
                     {"threshold", number_to_json(gate.threshold)},
                     {"evidence", gate.evidence}});
  }
  return {{"passed", verdict.passed}, {"against", verdict.against}, {"sentence", verdict.sentence}, {"gates", gates}};
}

RegressionVerdict regression_from_json(const json& object) {
  RegressionVerdict verdict;
  object.at("passed").get_to(verdict.passed);
  object.at("against").get_to(verdict.against);
  object.at("sentence").get_to(verdict.sentence);
  for (const json& gate : object.at("gates")) {
    verdict.gates.push_back({gate.at("name"), gate.at("verdict"), gate.at("severity"),
                             number_from_json(gate.at("value")), gate.at("wants"),
                             number_from_json(gate.at("threshold")), gate.at("evidence")});
  }
  return verdict;
}

}  // namespace tercet::job
