// A finished run as the job would record it.
#pragma once

#include <filesystem>
#include <optional>

#include "gate/sample_speed.hpp"
#include "tercet/report/report.hpp"
#include "tercet/report/status.hpp"

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
  results.speed = sample_speed();
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
  measured.speed = results.speed;
  measured.gradient_flow = true;
  measured.gradient_flow_evidence = "57 of 57 tensors got a gradient";
  measured.handoff = true;
  measured.handoff_evidence = "all files are there";
  GatesSection rules;
  rules.handoff.severity = "off";
  return judge(rules, measured);
}

// The same in a run folder. `name` is put wherever a name comes from a file of somebody else.
inline void record_sample_run(const std::filesystem::path& folder, bool finished, const std::string& name = "up_proj") {
  RunFile run(folder, true);
  for (int step = 1; step <= 30; ++step) {
    run.metric({"training/loss", step, 3.0 / step, "nats"});
    run.metric({"training/tokens_per_second", step, 4000.0 + step, "tokens/s"});
    run.metric({"training/hidden", step, 0.3 / step, "1"});
  }
  run.metric({"training/held_out_perplexity", 10, 30, "1"});
  run.metric({"training/held_out_perplexity", 20, 21, "1"});
  for (const auto& [model, rate] : {std::pair("packed", 1200.0), {"fp32", 400.0}, {"bf16", 300.0}})
    run.metric({std::string("speed/") + model + "/decode", 0, rate, "tokens/s"});
  run.metric({"evaluation/before/perplexity", 0, 20, "1"});
  run.metric({"evaluation/quantized/perplexity", 0, 50, "1"});
  run.metric({"evaluation/packed/perplexity", 0, 21, "1"});
  run.metric({"evaluation/dequantized/perplexity", 0, 20.5, "1"});
  run.stage({name, 0, 125});
  run.ranks({{0, "node7 " + name, "cpu", 1.5e9, 4321}, {1, "node8", "cpu", 1.25e9, 4320}});
  run.layers(
      {{"model.layers.0." + name, "mlp.up", "ternary", 512, 192, 128, 2.125, 0.01, 0.02, 0.05, 0.31, 0.44, 0.41},
       {"model.layers.1." + name, "mlp.up", "ternary", 512, 192, 128, 2.125, 0.01, 0.03, 0.06, 0.33, 0.45, 0.42}});
  run.provenance("data", {{{"path", name}, {"documents", 5}, {"tokens", 1000}, {"sha256", "ab"}}});
  run.provenance("source", {{"model", name}, {"producer", {{"version", "0.1.0"}}}});
  run.provenance("bad_steps.attempt-1", {{{"step", 7}, {"loss", "nan"}, {"ranks", {0, 1}}, {"consequence", name}}});
  run.provenance(kSolverKey, {{"layers", {{{"name", name}, {"error", 0.2}, {"error_rounding", 0.3}}}},
                              {"fallbacks", {{{"name", name}, {"reason", name}}}}});
  run.provenance(kTritsKey, {{{"name", "model.layers.0." + name}, {"minus", 30}, {"zero", 40}, {"plus", 30}}});
  run.provenance(kSamplesKey, {{"prompt", "def " + name},
                               {"prompt_tokens", 2},
                               {"tokens", 48},
                               {"texts",
                                {{{"model", "original"}, {"text", "(a):\n  " + name}, {"tokens", 48}, {"ended", false}},
                                 {{"model", name}, {"text", "(b)"}, {"tokens", 3}, {"ended", true}}}}});
  run.provenance(
      kAllocationKey,
      {{"target", name},
       {"sensitivity", "kl"},
       {"predicted_bytes", 1000},
       {"written_bytes", 1000},
       {"predicted_loss", 0.25},
       {"measured_kl", 0.26},
       {"predicted_nll_growth", 0.25},
       {"measured_nll_growth", 0.5},
       {"layers",
        {{{"name", "model.layers.0." + name},
          {"chosen", 1},
          {"candidates",
           {{{"format", "int2"}, {"bytes", 1}, {"loss", 1}},
            {{"format", name}, {"group_size", 128}, {"symmetric", false}, {"bytes", 24576}, {"loss", 0.25}}}}}}}});
  RunStatus status;
  status.stage = "fine-tune";
  status.started = status.updated = unix_time();
  if (finished) {
    run.gates(gate_records(sample_verdict()));
    run.provenance(kResultsKey, to_json(sample_results()));
    status.state = "passed";
    status.exit_code = 0;
    status.sentence = "every gate passed " + name;
  }
  write_status(folder, status);
}

}  // namespace tercet::test
