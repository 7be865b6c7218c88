// Small models of every family as packed files hold them, for the exports.
#pragma once

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>

#include <filesystem>
#include <span>
#include <string>

#include "support.hpp"
#include "tercet/artifact/export_format.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::test {

inline FormatSpec spec_of(const std::string& format, Granularity granularity, std::int64_t group_size = 0,
                          bool symmetric = true) {
  const bool ternary = format.starts_with("ternary");
  return {number_format(format), granularity, group_size, ternary ? ScaleRule::kAbsmean : ScaleRule::kMinMax,
          symmetric};
}
inline const FormatSpec kPerTensor = spec_of("ternary", Granularity::kTensor);

// 272 entries: 256 bytes, one special token, and rows that no token has.
inline std::string llama_json(int hidden, int intermediate, bool tied, const std::string& more = "",
                              const std::string& type = "llama") {
  return R"({"model_type": ")" + type + R"(", "vocab_size": 272, "hidden_size": )" + std::to_string(hidden) +
         R"(, "intermediate_size": )" + std::to_string(intermediate) +
         R"(, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
              "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "bos_token_id": 256,
              "eos_token_id": 256, "tie_word_embeddings": )" +
         (tied ? "true" : "false") + more + "}";
}
inline std::string gpt2_json(int hidden) {
  return R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 272, "n_layer": 2, "n_head": 4,
             "n_positions": 64, "n_inner": null, "n_embd": )" +
         std::to_string(hidden) + "}";
}
inline std::string neox_json(int hidden, bool tied = false) {
  return R"({"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "vocab_size": 272, "hidden_size": )" +
         std::to_string(hidden) + R"(, "intermediate_size": )" + std::to_string(2 * hidden) +
         R"(, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "gelu", "rotary_pct": 0.25,
              "max_position_embeddings": 64, "layer_norm_eps": 1e-05, "tie_word_embeddings": )" +
         (tied ? "true" : "false") + "}";
}

// Multiples of 2^-27 below 1/16, from a congruential generator: the same bits on every machine, sums in fp64 too.
inline at::Tensor exact_weight(at::IntArrayRef shape, unsigned seed) {
  at::Tensor value = at::empty(shape, at::kFloat);
  unsigned state = (seed + 200) * 2654435761u;
  for (float& x : std::span(value.mutable_data_ptr<float>(), static_cast<std::size_t>(value.numel()))) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int>(state >> 8) - (1 << 23)) / (1 << 27);
  }
  return value;
}

// Vectors too differ everywhere, so that a forgotten or misplaced one shows.
inline PackedModel packed_of(const std::string& config, const FormatSpec& blocks,
                             const FormatSpec& tables = spec_of("int8", Granularity::kChannel)) {
  PackedModel model;
  model.config = parse_model_config(config, "test");
  model.provenance = {{"source", "test"}};
  unsigned seed = 0;
  const Decoder shapes = Decoder::random(model.config, 5);
  for (const Parameter& parameter : shapes.parameters()) {
    const bool table = parameter.role == Role::kEmbedding || parameter.role == Role::kHead;
    at::Tensor value = exact_weight(parameter.value.sizes(), ++seed);
    if (parameter.input_first) value = value.t().contiguous();
    if (value.dim() == 1) value = value.mul(4).add(parameter.value);
    const FormatSpec spec = is_block_linear(parameter.role) ? blocks : table ? tables : FormatSpec{};
    model.tensors.push_back({parameter.name, to_string(parameter.role), parameter.input_first, store(value, spec)});
  }
  return model;
}

inline PackedTensor& tensor_of(PackedModel& model, const std::string& ending) {
  for (PackedTensor& tensor : model.tensors) {
    if (tensor.name.ends_with(ending)) return tensor;
  }
  throw std::runtime_error("no tensor " + ending);
}

// Between them: both heads, biases, grouped heads, widths of 192 and 172, rows and columns that are no multiple of 4,
// zero points, several formats, zeros.
struct ExportCase {
  std::string name;
  PackedModel model;
  std::vector<std::string> formats;
};

inline std::vector<ExportCase> export_cases() {
  const FormatSpec half, kPerRow = spec_of("ternary", Granularity::kChannel);
  std::vector<ExportCase> all;
  all.push_back(
      {"tied_256", packed_of(llama_json(256, 256, true), kPerTensor), {"gguf", "hf-bitnet", "compressed-tensors"}});
  all.push_back({"untied_192", packed_of(llama_json(192, 320, false), kPerRow, half), {"gguf", "compressed-tensors"}});
  all.push_back({"width_172", packed_of(llama_json(64, 172, false), kPerTensor), {"hf-bitnet", "compressed-tensors"}});
  all.push_back({"width_170", packed_of(llama_json(64, 170, false), kPerRow), {"compressed-tensors"}});
  all.push_back({"biases",
                 packed_of(llama_json(64, 128, true, "", "qwen2"), kPerTensor),
                 {"gguf", "hf-bitnet", "compressed-tensors"}});
  all.push_back(
      {"head_norms",
       packed_of(llama_json(64, 128, false, R"(, "head_dim": 32)", "qwen3"), spec_of("int8", Granularity::kChannel)),
       {"gguf", "compressed-tensors"}});
  all.push_back({"conv1d", packed_of(gpt2_json(64), spec_of("int4", Granularity::kGroup, 32)), {"gguf"}});
  all.push_back(
      {"fused_projection", packed_of(neox_json(64), kPerTensor), {"gguf", "hf-bitnet", "compressed-tensors"}});
  all.push_back({"zero_points",
                 packed_of(llama_json(64, 96, true), spec_of("int4", Granularity::kGroup, 32, false)),
                 {"compressed-tensors"}});
  all.push_back({"zero_points_by_row",
                 packed_of(llama_json(64, 100, true), spec_of("int3", Granularity::kChannel, 0, false)),
                 {"compressed-tensors"}});
  all.push_back({"int2",
                 packed_of(llama_json(64, 128, true), spec_of("int2", Granularity::kGroup, 64)),
                 {"gguf", "compressed-tensors"}});
  PackedModel mixed = packed_of(llama_json(64, 128, false), kPerTensor);
  for (const char* ending : {"0.self_attn.q_proj.weight", "0.mlp.down_proj.weight", "1.mlp.down_proj.weight"}) {
    PackedTensor& tensor = tensor_of(mixed, ending);
    tensor.stored = store(dequantize(tensor.stored), spec_of("int4", Granularity::kGroup, 32));
  }
  PackedTensor& skipped = tensor_of(mixed, "1.self_attn.o_proj.weight");
  skipped.stored = store(dequantize(skipped.stored), half);
  all.push_back({"mixed_bits", mixed, {"gguf", "compressed-tensors"}});
  PackedModel zeros = packed_of(llama_json(64, 128, true), kPerTensor);
  PackedTensor& empty = tensor_of(zeros, "0.mlp.up_proj.weight");
  empty.stored = store(at::zeros_like(dequantize(empty.stored)), kPerTensor);
  all.push_back({"all_zero_matrix", zeros, {"gguf", "hf-bitnet", "compressed-tensors"}});
  return all;
}

// One finding a line.
inline std::string join(const std::vector<std::string>& findings) {
  std::string text;
  for (const auto& finding : findings) text += finding + "\n";
  return text;
}

// A folder as compress leaves it, with the exports of these names.
inline void write_exports(const std::filesystem::path& folder, const PackedModel& model,
                          const std::vector<std::string>& names, ExportSettings settings = {}) {
  const auto tokenizer = folder / "tokenizer";
  write_byte_tokenizer(tokenizer);
  write_packed_model(folder / "bitnet_quantized_model.pt", model);
  write_dequantized_pt(folder / "bitnet_dequantized_fp16.pt", model);
  write_hf_folder(folder / "hf", model, tokenizer, tokenizer, settings.shard_bytes);
  settings.model_folder = settings.tokenizer_folder = tokenizer;
  settings.packed_sha256 = sha256_file(folder / "bitnet_quantized_model.pt");
  for (const std::string& name : names) {
    export_format(name).write(folder / export_format(name).place(), model, settings);
  }
  write_metadata(folder);
}

}  // namespace tercet::test
