// A finished run as the job would record it.
#pragma once

#include <optional>

#include "tercet/report/report.hpp"

namespace tercet::test {

inline RunResults sample_results() {
  RunResults results;
  results.parameters = 1000000;
  results.quantized_parameters = results.ternary_parameters = 800000;
  results.zero_parameters = 240000;
  results.layers_quantized = 42;
  results.layers_compressed = 43;
  results.fp32_bytes = 4000000;
  results.fp16_bytes = 2000000;
  results.file_bytes = 2 << 20;
  results.packed_bytes = 1 << 19;
  results.dequantized_bytes = 2000100;
  results.before = {3.0, 20.0, 0.40, std::nullopt, std::nullopt};
  results.quantized = {4.0, 50.0, 0.20, 0.35, 1.5};
  results.packed = {3.05, 21.0, 0.39, 0.85, 0.05};
  results.codec_agreement = 0.9995;
  results.tasks = {{"hellaswag",
                    "val.jsonl",
                    "ab12",
                    0,
                    100,
                    {0.4, 0.05, 0.5, 0.05, std::nullopt},
                    {0.39, 0.05, 0.48, 0.05, std::nullopt}},
                   {"lambada",
                    "test.jsonl",
                    "cd34",
                    50,
                    50,
                    {0.3, std::nullopt, std::nullopt, std::nullopt, 12.5},
                    {0.25, std::nullopt, std::nullopt, std::nullopt, 14.0}}};
  results.gradient_flow = true;
  results.handoff = true;
  results.fine_tuning = FineTuning{500, 1.25, 1800.0};
  return results;
}

inline Verdict sample_verdict() {
  Measurements measured;
  const RunResults results = sample_results();
  measured.parameters = results.parameters;
  measured.packed_bytes = results.packed_bytes;
  measured.fp32_bytes = results.fp32_bytes;
  measured.fp16_bytes = results.fp16_bytes;
  measured.file_bytes = results.file_bytes;
  measured.sparsity = results.sparsity();
  measured.accuracy_before = results.before.accuracy;
  measured.accuracy_after = results.packed.accuracy;
  measured.perplexity_before = results.before.perplexity;
  measured.perplexity_after = results.packed.perplexity;
  measured.agreement = results.codec_agreement;
  measured.gradient_flow = true;
  measured.gradient_flow_evidence = "57 of 57 tensors got a gradient";
  measured.handoff = true;
  measured.handoff_evidence = "all files are there";
  GatesSection rules;
  rules.handoff.severity = "off";
  return judge(rules, measured);
}

}  // namespace tercet::test
