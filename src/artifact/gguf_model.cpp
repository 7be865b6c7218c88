#include "gguf_model.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "model_parts.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using Names = std::map<std::string, std::string>;

const Names kLlamaNames = {{"model.embed_tokens", "token_embd"},
                           {"model.norm", "output_norm"},
                           {"lm_head", "output"},
                           {"input_layernorm", "attn_norm"},
                           {"self_attn.q_proj", "attn_q"},
                           {"self_attn.k_proj", "attn_k"},
                           {"self_attn.v_proj", "attn_v"},
                           {"self_attn.q_norm", "attn_q_norm"},
                           {"self_attn.k_norm", "attn_k_norm"},
                           {"self_attn.o_proj", "attn_output"},
                           {"post_attention_layernorm", "ffn_norm"},
                           {"mlp.gate_proj", "ffn_gate"},
                           {"mlp.up_proj", "ffn_up"},
                           {"mlp.down_proj", "ffn_down"}};
const Names kGpt2Names = {{"transformer.wte", "token_embd"},
                          {"transformer.wpe", "position_embd"},
                          {"transformer.ln_f", "output_norm"},
                          {"lm_head", "output"},
                          {"ln_1", "attn_norm"},
                          {"attn.c_attn", "attn_qkv"},
                          {"attn.c_proj", "attn_output"},
                          {"ln_2", "ffn_norm"},
                          {"mlp.c_fc", "ffn_up"},
                          {"mlp.c_proj", "ffn_down"}};
const Names kNeoxNames = {{"gpt_neox.embed_in", "token_embd"},
                          {"gpt_neox.final_layer_norm", "output_norm"},
                          {"embed_out", "output"},
                          {"input_layernorm", "attn_norm"},
                          {"attention.query_key_value", "attn_qkv"},
                          {"attention.dense", "attn_output"},
                          {"post_attention_layernorm", "ffn_norm"},
                          {"mlp.dense_h_to_4h", "ffn_up"},
                          {"mlp.dense_4h_to_h", "ffn_down"}};

struct Architecture {
  const char* name;
  const Names& names;
};

Architecture architecture_of(Family family) {
  switch (family) {
    case Family::kLlama:
    case Family::kMistral:
      return {"llama", kLlamaNames};
    case Family::kQwen2:
      return {"qwen2", kLlamaNames};
    case Family::kQwen3:
      return {"qwen3", kLlamaNames};
    case Family::kGpt2:
      return {"gpt2", kGpt2Names};
    case Family::kGptNeox:
      break;
  }
  return {"gptneox", kNeoxNames};
}

bool is_llama(Family family) {
  return family == Family::kLlama || family == Family::kMistral;
}
bool has_layer_norm(Family family) {
  return family == Family::kGpt2 || family == Family::kGptNeox;
}

std::uint32_t count(std::int64_t value) {
  return static_cast<std::uint32_t>(value);
}

// Rotation pairs column j of a head with column j + d / 2 in Hugging Face's layout, and 2 j with 2 j + 1 in
// llama.cpp's.
std::vector<std::int64_t> neighbours(std::int64_t heads, std::int64_t head_dim) {
  std::vector<std::int64_t> order;
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t i = 0; i < head_dim; ++i) order.push_back(head * head_dim + i % 2 * (head_dim / 2) + i / 2);
  }
  return order;
}

std::vector<std::int64_t> parts_together(std::int64_t heads, std::int64_t head_dim) {
  std::vector<std::int64_t> order;
  for (std::int64_t part = 0; part < 3; ++part) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t i = 0; i < head_dim; ++i) order.push_back((head * 3 + part) * head_dim + i);
    }
  }
  return order;
}

// Within the window nothing is cut off, and llama.cpp's `llama` cuts nothing.
std::int64_t context_length(const ModelConfig& config) {
  return config.sliding_window ? std::min(config.max_positions, *config.sliding_window) : config.max_positions;
}

void set_rope_keys(const ModelConfig& config, const std::string& architecture, GgufFile& file) {
  const auto rotated = static_cast<std::int64_t>(config.rotary_fraction * static_cast<double>(config.head_dim));
  file.set(architecture + ".rope.dimension_count", count(rotated));
  file.set(architecture + ".rope.freq_base", static_cast<float>(config.rope_theta));
  if (config.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    file.set(architecture + ".rope.scaling.type", std::string("linear"));
    file.set(architecture + ".rope.scaling.factor", static_cast<float>(config.rope_scaling.factor));
  }
}

}  // namespace

std::optional<Refusal> architecture_refusal(const ModelConfig& config) {
  const std::string name = architecture_of(config.family).name;
  const auto refuse = [&name](const std::string& reason) {
    return Refusal{"llama.cpp's architecture '" + name + "' " + reason, "another format, or the hf folder, holds it"};
  };
  const bool smooth = config.activation.starts_with("gelu");
  if (has_layer_norm(config.family) && !smooth) return refuse("computes GELU, the model " + config.activation);
  if (!has_layer_norm(config.family) && config.activation != "silu")
    return refuse("computes SiLU, the model " + config.activation);
  if (config.family == Family::kGptNeox && config.tied_head) return refuse("has no tied head");
  if (config.family == Family::kGptNeox && !config.attention_bias) return refuse("needs biases in the attention");
  if (config.family == Family::kQwen3 && config.attention_bias) return refuse("has no biases in the attention");
  if (config.family == Family::kQwen2 && config.attention_output_bias) return refuse("has no bias at o_proj");
  if (!is_llama(config.family) && config.mlp_bias && !has_layer_norm(config.family))
    return refuse("has no biases in the MLP");
  if (!is_llama(config.family) && config.rope_scaling.kind == RopeScaling::Kind::kLlama3)
    return refuse("does not scale rotations as Llama 3 does");
  return std::nullopt;
}

std::string gguf_name(const ModelConfig& config, const std::string& tensor) {
  const auto [block, rest] = split_block(tensor);
  const Names& names = architecture_of(config.family).names;
  const auto found = names.find(module_of(rest));
  if (found == names.end()) throw DataError("tensor '" + tensor + "' has no name in GGUF");
  const std::string prefix = block.empty() ? "" : "blk." + last_part(block.substr(0, block.size() - 1)) + ".";
  return prefix + found->second + "." + last_part(rest);
}

std::vector<std::int64_t> gguf_row_order(const ModelConfig& config, const std::string& gguf_name) {
  const std::string part = last_part(module_of(gguf_name));
  if (is_llama(config.family) && part == "attn_q") return neighbours(config.heads, config.head_dim);
  if (is_llama(config.family) && part == "attn_k") return neighbours(config.kv_heads, config.head_dim);
  if (config.family == Family::kGptNeox && part == "attn_qkv") return parts_together(config.heads, config.head_dim);
  return {};
}

void set_model_keys(const ModelConfig& config, GgufFile& file) {
  const std::string name = architecture_of(config.family).name;
  const auto norm = static_cast<float>(config.norm_epsilon);
  file.set("general.architecture", name);
  file.set("general.type", std::string("model"));
  file.set(name + ".context_length", count(context_length(config)));
  file.set(name + ".embedding_length", count(config.hidden_size));
  file.set(name + ".block_count", count(config.layers));
  file.set(name + ".feed_forward_length", count(config.intermediate_size));
  file.set(name + ".attention.head_count", count(config.heads));
  file.set(name + ".vocab_size", count(config.vocab_size));
  if (has_layer_norm(config.family)) {
    file.set(name + ".attention.layer_norm_epsilon", norm);
  } else {
    file.set(name + ".attention.head_count_kv", count(config.kv_heads));
    file.set(name + ".attention.layer_norm_rms_epsilon", norm);
    file.set(name + ".attention.key_length", count(config.head_dim));
    file.set(name + ".attention.value_length", count(config.head_dim));
  }
  if (config.family != Family::kGpt2) set_rope_keys(config, name, file);
  if (config.family == Family::kGptNeox) file.set(name + ".use_parallel_residual", config.parallel_residual);
}

std::vector<float> rope_factors(const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind != RopeScaling::Kind::kLlama3) return {};
  std::vector<float> factors;
  const auto positions = static_cast<double>(scaling.original_max_positions);
  for (std::int64_t i = 0; i < config.head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim);
    const double wave_length = 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
    const double turns = positions / wave_length;
    const double share =
        std::clamp((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
    factors.push_back(static_cast<float>(1 / ((1 - share) / scaling.factor + share)));
  }
  return factors;
}

}  // namespace tercet
