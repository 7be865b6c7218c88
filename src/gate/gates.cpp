#include "tercet/gate/gates.hpp"

#include <cmath>
#include <limits>

#include "gate/evidence.hpp"

namespace tercet {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// What was not measured, or is not a finite number, does not pass.
GateResult at_least(const std::string& name, const GateSetting& rule, double value, double threshold) {
  return {name,
          std::isfinite(value) && value >= threshold ? "pass" : "fail",
          rule.severity,
          value,
          ">= " + gate::short_number(threshold),
          threshold,
          ""};
}

GateResult at_most(const std::string& name, const GateSetting& rule, double value) {
  return {name,
          std::isfinite(value) && value <= rule.threshold ? "pass" : "fail",
          rule.severity,
          value,
          "<= " + gate::short_number(rule.threshold),
          rule.threshold,
          ""};
}

GateResult with_evidence(GateResult result, std::string evidence) {
  result.evidence = std::move(evidence);
  if (result.severity == "off") result.verdict = "off";
  return result;
}

std::uint64_t baseline_bytes(const GatesSection& rules, const Measurements& measured) {
  if (rules.compression_baseline == "fp16") return measured.fp16_bytes;
  if (rules.compression_baseline == "file") return measured.file_bytes;
  return measured.fp32_bytes;
}

GateResult judge_compression(const GatesSection& rules, const Measurements& measured) {
  const std::uint64_t baseline = baseline_bytes(rules, measured);
  const bool known = measured.packed_bytes > 0 && baseline > 0;
  const double ratio = known ? static_cast<double>(baseline) / static_cast<double>(measured.packed_bytes) : kUnknown;
  const double target =
      rules.compression.threshold > 0 ? rules.compression.threshold : compression_target(measured.parameters);
  return with_evidence(at_least("compression", rules.compression, ratio, target),
                       gate::compression_evidence(rules, measured, target));
}

GateResult judge_sparsity(const GatesSection& rules, const Measurements& measured) {
  const double value = measured.sparsity.value_or(kUnknown);
  GateResult result = at_least("sparsity", rules.sparsity, value, rules.sparsity.threshold);
  if (!(value <= rules.sparsity_max)) result.verdict = "fail";
  result.comparison = gate::short_number(rules.sparsity.threshold) + " to " + gate::short_number(rules.sparsity_max);
  return with_evidence(std::move(result), gate::sparsity_evidence(measured));
}

// 0 / 0 and x / 0 are no result: a model that predicted nothing right cannot show that accuracy was kept.
double quotient(const std::optional<double>& above, const std::optional<double>& below) {
  return above && below && *below > 0 ? *above / *below : kUnknown;
}

GateResult judge_accuracy(const GatesSection& rules, const Measurements& measured) {
  const double kept = quotient(measured.accuracy_after, measured.accuracy_before);
  return with_evidence(at_least("accuracy", rules.accuracy, kept, rules.accuracy.threshold),
                       gate::accuracy_evidence(rules, measured));
}

GateResult judge_perplexity(const GatesSection& rules, const Measurements& measured) {
  const auto& before = measured.perplexity_before;
  const auto& after = measured.perplexity_after;
  const double growth = before && after && *before > 0 ? (*after - *before) / *before : kUnknown;
  return with_evidence(at_most("perplexity", rules.perplexity, growth), gate::perplexity_evidence(measured));
}

GateResult judge_agreement(const GatesSection& rules, const Measurements& measured) {
  const double value = measured.agreement.value_or(kUnknown);
  return with_evidence(at_least("agreement", rules.agreement, value, rules.agreement.threshold),
                       gate::agreement_evidence(measured));
}

GateResult judge_speedup(const GatesSection& rules, const Measurements& measured) {
  const auto speedup = measured.speed ? measured.speed->speedup(rules.speedup_baseline) : std::nullopt;
  return with_evidence(at_least("speedup", rules.speedup, speedup.value_or(kUnknown), rules.speedup.threshold),
                       gate::speedup_evidence(rules, measured));
}

GateResult judge_check(const std::string& name, const GateSetting& rule, const std::optional<bool>& passed,
                       const std::string& evidence) {
  const double value = passed ? (*passed ? 1.0 : 0.0) : kUnknown;
  return with_evidence(at_least(name, rule, value, rule.threshold), passed ? evidence : name + " was not checked");
}

}  // namespace

Verdict judge(const GatesSection& rules, const Measurements& measured) {
  Verdict verdict;
  verdict.gates = {
      judge_compression(rules, measured),
      judge_sparsity(rules, measured),
      judge_accuracy(rules, measured),
      judge_perplexity(rules, measured),
      judge_agreement(rules, measured),
      judge_speedup(rules, measured),
      judge_check("gradient_flow", rules.gradient_flow, measured.gradient_flow, measured.gradient_flow_evidence),
      judge_check("handoff", rules.handoff, measured.handoff, measured.handoff_evidence),
  };
  verdict.passed = true;
  for (const GateResult& gate : verdict.gates) {
    if (gate.verdict == "fail" && gate.severity == "fail") verdict.passed = false;
  }
  return verdict;
}

}  // namespace tercet
