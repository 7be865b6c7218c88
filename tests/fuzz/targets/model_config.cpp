#include "tercet/model_io/model_config.hpp"
#include "target.hpp"

namespace tercet::fuzz {
namespace {

ModelConfig small_model() {
  ModelConfig config;
  config.vocab_size = 300;
  config.hidden_size = 16;
  config.intermediate_size = 32;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 4;
  config.max_positions = 64;
  config.rope_scaling = {RopeScaling::Kind::kLlama3, 8.0, 1.0, 4.0, 32};
  return config;
}

std::vector<std::string> seeds() {
  return {
      llama_config_json(small_model()),
      R"({"model_type": "gpt2", "vocab_size": 300, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": null,)"
      R"( "n_positions": 64, "activation_function": "gelu_new", "eos_token_id": 256})",
      R"({"model_type": "gpt_neox", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2,)"
      R"( "num_attention_heads": 2, "intermediate_size": 64, "rotary_pct": 0.25, "rotary_emb_base": 1e4})",
      R"({"model_type": "mistral", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2,)"
      R"( "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "sliding_window": 8,)"
      R"( "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}, "eos_token_id": [1, 2]})",
      R"({"model_type": "qwen3", "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "head_dim": 8,)"
      R"( "num_attention_heads": 4, "intermediate_size": 64, "layer_types": ["full_attention"], "attention_bias": true})"};
}

void read(std::string_view input) {
  const ModelConfig config = parse_model_config(std::string(input), "config.json");
  if (config.family == Family::kLlama) (void)parse_model_config(llama_config_json(config), "again");
}

const Registration kTarget({"model_config", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
