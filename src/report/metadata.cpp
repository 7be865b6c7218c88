#include "tercet/report/metadata.hpp"

#include <cmath>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr double kMebibyte = 1024.0 * 1024.0;
constexpr const char* kMetadataName = "compression_metadata.json";

// A reader of the metadata must not meet a word where it expects a number.
json finite_or_null(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? json(*value) : json();
}

json mebibytes_or_null(std::uint64_t bytes) {
  return bytes == 0 ? json() : json(static_cast<double>(bytes) / kMebibyte);
}

std::optional<double> growth(const std::optional<double>& before, const std::optional<double>& after) {
  if (!before || !after || !(*before > 0)) return std::nullopt;
  return (*after - *before) / *before;
}

std::optional<double> difference(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b ? std::optional(*a - *b) : std::nullopt;
}

json accuracy_verdict(const Verdict& verdict) {
  for (const GateResult& gate : verdict.gates) {
    if (gate.name == "accuracy" && gate.verdict != "off") return gate.verdict == "pass";
  }
  return {};
}

json ratios(const RunResults& results) {
  return {{"fp32", finite_or_null(results.ratio("fp32"))},
          {"fp16", finite_or_null(results.ratio("fp16"))},
          {"file", finite_or_null(results.ratio("file"))}};
}

json gates_to_json(const Verdict& verdict) {
  auto gates = json::object();
  for (const GateResult& gate : verdict.gates) {
    gates[gate.name] = {{"verdict", gate.verdict},
                        {"severity", gate.severity},
                        {"value", finite_or_null(gate.value)},
                        {"threshold", finite_or_null(gate.threshold)},
                        {"wants", gate.comparison},
                        {"evidence", gate.evidence}};
  }
  return gates;
}

json rate_or_null(const DecodeSpeed& speed, const DecodeRate& rate) {
  return speed.refusal.empty() ? finite_or_null(rate.median) : json();
}

// What else was measured, beyond the names of the original system.
json more_metrics(const RunResults& results) {
  const DecodeSpeed speed = results.speed.value_or(DecodeSpeed{.refusal = "not measured"});
  return {
      {"final_perplexity", finite_or_null(results.packed.perplexity)},
      {"final_perplexity_degradation", finite_or_null(growth(results.before.perplexity, results.packed.perplexity))},
      {"accuracy_before", finite_or_null(results.before.accuracy)},
      {"accuracy_quantized", finite_or_null(results.quantized.accuracy)},
      {"accuracy_after", finite_or_null(results.packed.accuracy)},
      {"agreement_with_original", finite_or_null(results.packed.agreement)},
      {"kl_from_original_nats", finite_or_null(results.packed.kl)},
      {"inference_speedup", finite_or_null(speed.speedup(results.speed_baseline))},
      {"decode_tokens_per_second", rate_or_null(speed, speed.packed)},
      {"decode_tokens_per_second_fp32", rate_or_null(speed, speed.fp32)},
      {"decode_tokens_per_second_bf16", rate_or_null(speed, speed.bf16)},
      {"fine_tune_steps", results.fine_tuning ? results.fine_tuning->steps : 0},
      {"packed_bytes", results.packed_bytes},
      {"dequantized_bytes", results.dequantized_bytes},
      {"zero_params", results.zero_parameters}};
}

}  // namespace

json compression_metrics(const RunResults& results, const Verdict& verdict) {
  const bool tuned = results.fine_tuning.has_value();
  const std::optional<double> none;
  const std::optional<double>& tuned_perplexity = tuned ? results.packed.perplexity : none;
  return {
      {"compression/original_size_mb", mebibytes_or_null(results.file_bytes)},
      {"compression/pre_perplexity", finite_or_null(results.before.perplexity)},
      {"compression/pre_eval_loss", finite_or_null(results.before.nll)},
      {"compression/compressed_size_mb", mebibytes_or_null(results.packed_bytes)},
      {"compression/ratio", finite_or_null(results.ratio(results.baseline))},
      {"compression/layers_compressed", results.layers_compressed},
      {"compression/sparsity_ratio", finite_or_null(results.sparsity())},
      {"compression/quantized_params", results.quantized_parameters},
      {"compression/total_params", results.parameters},
      {"compression/layers_quantized", results.layers_quantized},
      {"compression/post_perplexity", finite_or_null(results.quantized.perplexity)},
      {"compression/perplexity_degradation",
       finite_or_null(growth(results.before.perplexity, results.quantized.perplexity))},
      {"compression/accuracy_preserved", accuracy_verdict(verdict)},
      {"compression/dequantization_accuracy", finite_or_null(results.codec_agreement)},
      {"compression/gradient_flow_test_passed", results.gradient_flow ? json(*results.gradient_flow) : json()},
      {"compression/post_finetune_perplexity", finite_or_null(tuned_perplexity)},
      {"compression/perplexity_recovery", finite_or_null(difference(results.quantized.perplexity, tuned_perplexity))},
      {"compression/fine_tune_epochs", tuned ? results.fine_tuning->epochs : 0.0},
      {"compression/fine_tune_time_hours", tuned ? results.fine_tuning->seconds / 3600.0 : 0.0},
  };
}

json metric_definitions() {
  return {
      {"compression/original_size_mb", "bytes of the original weight files / 2^20"},
      {"compression/pre_perplexity", "perplexity of the original model on held-out text"},
      {"compression/pre_eval_loss", "its mean loss, nats per token"},
      {"compression/compressed_size_mb", "bytes of the packed file on disk / 2^20"},
      {"compression/ratio", "bytes of the gate's baseline / bytes of the packed file; all three in compression_ratios"},
      {"compression/layers_compressed", "tensors stored in less than 16 bits"},
      {"compression/sparsity_ratio", "zeros / ternary weights"},
      {"compression/quantized_params", "weights inside the blocks stored in less than 16 bits"},
      {"compression/total_params", "parameters of the model, a tied head counted once"},
      {"compression/layers_quantized", "matrices inside the blocks stored in less than 16 bits"},
      {"compression/post_perplexity", "perplexity after quantization, before fine-tuning"},
      {"compression/perplexity_degradation", "(post_perplexity - pre_perplexity) / pre_perplexity"},
      {"compression/accuracy_preserved",
       "the accuracy gate passed (after all stages; gates.accuracy.task says whose accuracy); null when it is off"},
      {"compression/dequantization_accuracy", "share of positions where the dequantized and the packed model agree"},
      {"compression/gradient_flow_test_passed", "every parameter got a finite, non-zero gradient on a real batch"},
      {"compression/post_finetune_perplexity", "perplexity of the packed file after fine-tuning; null without any"},
      {"compression/perplexity_recovery", "post_perplexity - post_finetune_perplexity; null without fine-tuning"},
      {"compression/fine_tune_epochs", "tokens trained on / tokens of the training text"},
      {"compression/fine_tune_time_hours", "wall time of fine-tuning"},
  };
}

json file_table(const fs::path& folder) {
  auto table = json::object();
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (!entry.is_regular_file() || entry.path() == folder / kMetadataName) continue;
    table[entry.path().lexically_relative(folder).generic_string()] = sha256_file(entry.path());
  }
  if (error) throw StoreError("cannot list '" + folder.string() + "'", error.message());
  return table;
}

json compression_metadata(const MetadataInput& input) {
  const RunResults& results = input.results;
  return {{"format", "tercet-compression-metadata"},
          {"version", 1},
          {"compression_method", input.method},
          {"quantization_bits", input.bits},
          {"timestamp", iso_time(input.created)},
          {"success", input.verdict.passed},
          {"compression_ratio", finite_or_null(results.ratio(results.baseline))},
          {"compression_baseline", results.baseline},
          {"compression_ratios", ratios(results)},
          {"sparsity_ratio", finite_or_null(results.sparsity())},
          {"layers_quantized", results.layers_quantized},
          {"gradient_flow_test", results.gradient_flow ? json(*results.gradient_flow) : json()},
          {"metrics", compression_metrics(results, input.verdict)},
          {"metric_definitions", metric_definitions()},
          {"more_metrics", more_metrics(results)},
          {"tasks", to_json(results.tasks)},
          {"speed", results.speed ? to_json(*results.speed) : json()},
          {"gates", gates_to_json(input.verdict)},
          {"config", input.config},
          {"quantization", input.quantization},
          {"allocation", input.allocation},
          {"data", input.data},
          {"model", input.model},
          {"versions", input.versions},
          {"run", input.run},
          {"exports", input.exports},
          {"files", input.files}};
}

std::string metadata_text(json metadata) {
  constexpr const char* kSum = "metadata_sha256";
  metadata.erase(kSum);
  metadata[kSum] = sha256_hex(std::string_view(metadata.dump()));
  return metadata.dump(2) + "\n";
}

}  // namespace tercet
