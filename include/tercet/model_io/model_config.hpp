// The architecture of a model as config.json of a Hugging Face folder describes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace tercet {

enum class Family { kLlama, kMistral, kQwen2, kQwen3, kGpt2, kGptNeox };

std::string to_string(
    Family family);  // config.json's model_type: "llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox"

struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 } kind = Kind::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;             // llama3
  double high_freq_factor = 4.0;            // llama3
  std::int64_t original_max_positions = 0;  // llama3
};

struct ModelConfig {
  Family family = Family::kLlama;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_positions = 0;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rotary_fraction = 1.0;                // GPT-NeoX rotary_pct: share of head_dim that is rotated
  std::optional<std::int64_t> sliding_window;  // Mistral; position i sees (i - window, i]
  bool tied_head = false;
  bool attention_bias = false;  // q, k, v (Qwen2 always; Llama by attention_bias, then o too)
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool parallel_residual = false;   // GPT-NeoX use_parallel_residual
  std::string activation = "silu";  // silu | gelu (erf) | gelu_tanh (gelu_new, gelu_pytorch_tanh) | relu
  std::int64_t bos_token = -1;      // -1: none (or outside the vocabulary)
  std::int64_t eos_token = -1;
  std::string json;  // config.json as read, for copying into exports
};

// Reads and checks <folder>/config.json. Throws DataError naming the file, the key and what is supported.
ModelConfig read_model_config(const std::filesystem::path& folder);
ModelConfig parse_model_config(const std::string& json, const std::string& where);

// config.json of a new Llama-shaped model (pretrain).
std::string llama_config_json(const ModelConfig& config);

}  // namespace tercet
