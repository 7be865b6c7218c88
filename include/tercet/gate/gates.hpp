// Declared quality gates: rules over measured values, verdicts with evidence. Rank 0 decides, all ranks learn.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/gate/decode_speed.hpp"

namespace tercet {

struct Measurements {  // what was measured; nullopt: not measured, the gate cannot pass
  std::int64_t parameters = 0;
  std::uint64_t packed_bytes = 0;                                // of the packed file on disk
  std::uint64_t fp32_bytes = 0, fp16_bytes = 0, file_bytes = 0;  // baselines
  std::optional<double> sparsity;                                // zeros / ternary weights
  std::optional<double> accuracy_before, accuracy_after;         // of gates.accuracy.task where it names one
  std::optional<double> perplexity_before, perplexity_after;
  std::optional<double> agreement;  // top-1, dequantized against packed
  std::optional<DecodeSpeed> speed;
  std::optional<bool> gradient_flow;
  std::string gradient_flow_evidence;
  std::optional<bool> handoff;
  std::string handoff_evidence;
};

struct GateResult {
  // "compression", "sparsity", "accuracy", "perplexity", "agreement", "speedup", "gradient_flow", "handoff"
  std::string name;
  std::string verdict;     // "pass", "fail", "off"
  std::string severity;    // "fail", "warn", "off"
  double value = 0;        // NaN when not measured
  std::string comparison;  // ">= 6", "<= 0.1", "0.25 to 0.45"
  double threshold = 0;
  std::string evidence;  // a sentence with the figures it rests on
};

struct Verdict {
  std::vector<GateResult> gates;
  bool passed = false;  // no gate of severity "fail" failed
};

Verdict judge(const GatesSection& rules, const Measurements& measured);  // pure
// Collective: rank 0 judges, all ranks get the same verdict.
Verdict judge_on_root(Communicator& comm, const GatesSection& rules, const Measurements& measured);

}  // namespace tercet
