#include "tercet/model_io/model_config.hpp"

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "config_reader.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace {

// Bounds on what a stranger's file may ask for; every product of two of them fits 64 bits with room for the layers.
constexpr std::int64_t kMaxVocabulary = 1 << 24;
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxPositions = 1 << 28;
constexpr std::uintmax_t kMaxConfigBytes = 16 << 20;

constexpr std::array<std::pair<Family, std::string_view>, 6> kFamilies{{{Family::kLlama, "llama"},
                                                                        {Family::kMistral, "mistral"},
                                                                        {Family::kQwen2, "qwen2"},
                                                                        {Family::kQwen3, "qwen3"},
                                                                        {Family::kGpt2, "gpt2"},
                                                                        {Family::kGptNeox, "gpt_neox"}}};

Family family_of(const ConfigReader& reader) {
  const std::string name = reader.text("model_type");
  std::string supported;
  for (const auto& [family, text] : kFamilies) {
    if (name == text) return family;
    supported += (supported.empty() ? "" : ", ") + std::string(text);
  }
  reader.fail("model_type", "this family is not implemented", "supported: " + supported);
}

std::string activation_of(const ConfigReader& reader, const std::string& key, const std::string& otherwise) {
  static const std::map<std::string, std::string> kKnown{{"silu", "silu"},          {"swish", "silu"},
                                                         {"gelu", "gelu"},          {"gelu_python", "gelu"},
                                                         {"relu", "relu"},          {"gelu_pytorch_tanh", "gelu_tanh"},
                                                         {"gelu_new", "gelu_tanh"}, {"gelu_fast", "gelu_tanh"}};
  const auto found = kKnown.find(reader.text_or(key, otherwise));
  if (found == kKnown.end()) {
    reader.fail(key, "this activation is not implemented",
                "supported: silu, swish, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu");
  }
  return found->second;
}

// An id of the tokenizer: absent, null or outside the vocabulary (the default of a family that a tiny model kept) is
// "none"; of a list, as Llama 3 has, the first counts.
std::int64_t token_of(const ConfigReader& reader, const std::string& key, std::int64_t vocab_size) {
  if (!reader.has(key)) return -1;
  const nlohmann::json& value = reader.raw(key);
  const nlohmann::json& first = value.is_array() && !value.empty() ? value.front() : value;
  if (!first.is_number_integer()) reader.fail(key, "it is not a token id", "an integer, a list of them or null");
  const auto id = first.get<std::int64_t>();
  return id >= 0 && id < vocab_size ? id : -1;
}

void read_rope_scaling(const ConfigReader& rope, ModelConfig& config) {
  const std::string key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.text_or(key, "default");
  RopeScaling& scaling = config.rope_scaling;
  if (type == "default") return;
  if (type != "linear" && type != "llama3") {
    rope.fail(key, "this scaling of rotary positions is not implemented", "supported: default, linear, llama3");
  }
  if (!rope.has("factor")) rope.fail("factor", "the key is missing", "rope type " + type + " needs it");
  scaling.factor = rope.number_or("factor", 1.0, 1e6, 1.0);
  scaling.kind = RopeScaling::Kind::kLinear;
  if (type == "linear") return;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.low_freq_factor = rope.number_or("low_freq_factor", 1e-3, 1e6, 1.0);
  scaling.high_freq_factor = rope.number_or("high_freq_factor", 1e-3, 1e6, 4.0);
  scaling.original_max_positions =
      rope.integer_or("original_max_position_embeddings", 1, kMaxPositions, config.max_positions);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    rope.fail("high_freq_factor", "it is not above low_freq_factor", "llama3 scaling needs low < high");
  }
}

// rope_theta / rope_scaling of transformers 4 and rope_parameters of transformers 5, with the precedence of the latter:
// a non-empty rope_scaling, then rope_parameters, then keys at the top.
void read_rope(const ConfigReader& reader, ModelConfig& config) {
  const bool neox = config.family == Family::kGptNeox;
  const std::string theta_key = neox && reader.has("rotary_emb_base") ? "rotary_emb_base" : "rope_theta";
  const std::string fraction_key = reader.has("rotary_pct") ? "rotary_pct" : "partial_rotary_factor";
  config.rope_theta = reader.number_or(theta_key, 1.0, 1e12, 10000.0);
  config.rotary_fraction = reader.number_or(fraction_key, 0.0, 1.0, neox ? 0.25 : 1.0);
  auto rope = reader.object("rope_scaling");
  if (!rope) rope = reader.object("rope_parameters");
  if (rope) {
    for (const std::string nested : {"full_attention", "sliding_attention"}) {
      if (rope->has(nested)) rope->fail(nested, "rotary parameters per layer type are not implemented", "");
    }
    config.rope_theta = rope->number_or("rope_theta", 1.0, 1e12, config.rope_theta);
    config.rotary_fraction = rope->number_or("partial_rotary_factor", 0.0, 1.0, config.rotary_fraction);
    read_rope_scaling(*rope, config);
  }
  if (!neox && config.rotary_fraction != 1.0) {
    reader.fail(fraction_key, "partial rotation of heads is implemented for gpt_neox only", "1.0 is supported");
  }
  const auto rotated = static_cast<std::int64_t>(static_cast<double>(config.head_dim) * config.rotary_fraction);
  if (rotated < 2 || rotated % 2 != 0) {
    reader.fail(
        neox ? fraction_key : "head_dim",
        std::to_string(rotated) + " of " + std::to_string(config.head_dim) + " head dimensions would be rotated",
        "the number of rotated dimensions must be even and at least 2");
  }
}

void refuse_common(const ConfigReader& reader) {
  if (reader.has("quantization_config")) {
    reader.fail("quantization_config", "the weights are quantized already", "give the full-precision model");
  }
  reader.refuse_flag("is_encoder_decoder", true, "decoder-only models are supported");
  reader.refuse_flag("add_cross_attention", true, "decoder-only models are supported");
  reader.refuse_flag("use_sliding_window", true, "false is supported (sliding windows: mistral)");
  if (!reader.has("layer_types")) return;
  for (const auto& type : reader.raw("layer_types")) {
    if (type != "full_attention") {
      reader.fail("layer_types", "layers of different attention are not implemented", "supported: full_attention");
    }
  }
}

// Llama, Mistral, Qwen2 and Qwen3 share one shape and differ in defaults and biases.
void read_llama_like(const ConfigReader& reader, ModelConfig& config) {
  const Family family = config.family;
  const bool qwen = family == Family::kQwen2 || family == Family::kQwen3;
  config.intermediate_size = reader.integer("intermediate_size", 1, kMaxWidth * 4);
  const std::int64_t absent = family == Family::kMistral ? 8 : (qwen ? 32 : config.heads);
  const bool equal = reader.is_null("num_key_value_heads");
  config.kv_heads = reader.integer_or("num_key_value_heads", 1, kMaxWidth, equal ? config.heads : absent);
  const bool fixed_head_dim = family == Family::kQwen3 && !reader.is_null("head_dim");
  const std::int64_t even_split = config.hidden_size / config.heads;
  if (!reader.has("head_dim") && !fixed_head_dim && config.hidden_size % config.heads != 0) {
    reader.fail("hidden_size", "it is no multiple of num_attention_heads", "give head_dim, or another number of heads");
  }
  config.head_dim = reader.integer_or("head_dim", 1, kMaxWidth, fixed_head_dim ? 128 : even_split);
  config.max_positions = reader.integer_or("max_position_embeddings", 1, kMaxPositions, qwen ? 32768 : 2048);
  config.norm_epsilon = reader.number_or("rms_norm_eps", 1e-12, 1.0, 1e-6);
  config.activation = activation_of(reader, "hidden_act", "silu");
  const bool may_have_bias = family == Family::kLlama || family == Family::kQwen3;
  const bool bias = reader.boolean_or("attention_bias", false);
  if (bias && !may_have_bias && family != Family::kQwen2) {
    reader.fail("attention_bias", "this family has no biases", "false is supported");
  }
  config.attention_bias = family == Family::kQwen2 || (may_have_bias && bias);
  config.attention_output_bias = may_have_bias && bias;
  config.mlp_bias = family == Family::kLlama && reader.boolean_or("mlp_bias", false);
  if (family == Family::kMistral && !reader.is_null("sliding_window")) {
    config.sliding_window = reader.integer_or("sliding_window", 1, kMaxPositions, 4096);
  }
  read_rope(reader, config);
}

void read_gpt2(const ConfigReader& reader, ModelConfig& config) {
  config.kv_heads = config.heads;
  if (config.hidden_size % config.heads != 0) reader.fail("n_embd", "it is no multiple of n_head", "");
  config.head_dim = config.hidden_size / config.heads;
  config.intermediate_size = reader.integer_or("n_inner", 1, kMaxWidth * 4, 4 * config.hidden_size);
  const std::string positions = reader.has("n_positions") ? "n_positions" : "n_ctx";
  config.max_positions = reader.integer_or(positions, 1, kMaxPositions, 1024);
  config.norm_epsilon = reader.number_or("layer_norm_epsilon", 1e-12, 1.0, 1e-5);
  config.activation = activation_of(reader, "activation_function", "gelu_new");
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  reader.refuse_flag("scale_attn_weights", false, "true is supported");
  reader.refuse_flag("scale_attn_by_inverse_layer_idx", true, "false is supported");
}

void read_gpt_neox(const ConfigReader& reader, ModelConfig& config) {
  config.kv_heads = config.heads;
  if (config.hidden_size % config.heads != 0)
    reader.fail("hidden_size", "it is no multiple of num_attention_heads", "");
  config.head_dim = config.hidden_size / config.heads;
  config.intermediate_size = reader.integer("intermediate_size", 1, kMaxWidth * 4);
  config.max_positions = reader.integer_or("max_position_embeddings", 1, kMaxPositions, 2048);
  config.norm_epsilon = reader.number_or("layer_norm_eps", 1e-12, 1.0, 1e-5);
  config.activation = activation_of(reader, "hidden_act", "gelu");
  config.attention_bias = config.attention_output_bias = reader.boolean_or("attention_bias", true);
  config.mlp_bias = true;
  config.parallel_residual = reader.boolean_or("use_parallel_residual", true);
  read_rope(reader, config);
}

void check_heads(const ConfigReader& reader, const ModelConfig& config) {
  const bool gpt2 = config.family == Family::kGpt2;
  if (config.heads % config.kv_heads != 0) {
    reader.fail(
        "num_key_value_heads",
        std::to_string(config.kv_heads) + " key/value heads do not divide " + std::to_string(config.heads) + " heads",
        "");
  }
  if (config.heads > kMaxWidth / config.head_dim) {
    reader.fail(gpt2 ? "n_head" : "num_attention_heads", "heads x head_dim is too large",
                "at most " + std::to_string(kMaxWidth) + " is supported");
  }
}

ModelConfig read_fields(const nlohmann::json& object, const std::string& where) {
  const ConfigReader reader(object, where);
  ModelConfig config;
  config.family = family_of(reader);
  const bool gpt2 = config.family == Family::kGpt2;
  refuse_common(reader);
  config.vocab_size = reader.integer("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = reader.integer(gpt2 ? "n_embd" : "hidden_size", 1, kMaxWidth);
  config.layers = reader.integer(gpt2 ? "n_layer" : "num_hidden_layers", 1, kMaxLayers);
  config.heads = reader.integer(gpt2 ? "n_head" : "num_attention_heads", 1, kMaxWidth);
  config.tied_head = reader.boolean_or("tie_word_embeddings", gpt2);
  config.bos_token = token_of(reader, "bos_token_id", config.vocab_size);
  config.eos_token = token_of(reader, "eos_token_id", config.vocab_size);
  if (gpt2) {
    read_gpt2(reader, config);
  } else if (config.family == Family::kGptNeox) {
    read_gpt_neox(reader, config);
  } else {
    read_llama_like(reader, config);
  }
  check_heads(reader, config);
  return config;
}

}  // namespace

std::string to_string(Family family) {
  for (const auto& [known, name] : kFamilies) {
    if (known == family) return std::string(name);
  }
  return "unknown";
}

ModelConfig parse_model_config(const std::string& json, const std::string& where) {
  ModelConfig config = read_fields(parse_json_object(json, where), where);
  config.json = json;
  return config;
}

ModelConfig read_model_config(const std::filesystem::path& folder) {
  const auto file = folder / "config.json";
  if (!std::filesystem::is_directory(folder)) {
    throw DataError("model folder '" + folder.string() + "' cannot be used", "it is not a folder",
                    "give a Hugging Face folder with config.json and weights");
  }
  if (!std::filesystem::exists(file)) {
    throw DataError("model folder '" + folder.string() + "' has no config.json", "the architecture is read from it",
                    "give a Hugging Face folder with config.json and weights");
  }
  return parse_model_config(read_file(file, kMaxConfigBytes), file.string());
}

std::string llama_config_json(const ModelConfig& config) {
  nlohmann::ordered_json json{{"architectures", {"LlamaForCausalLM"}},
                              {"model_type", "llama"},
                              {"vocab_size", config.vocab_size},
                              {"hidden_size", config.hidden_size},
                              {"intermediate_size", config.intermediate_size},
                              {"num_hidden_layers", config.layers},
                              {"num_attention_heads", config.heads},
                              {"num_key_value_heads", config.kv_heads},
                              {"head_dim", config.head_dim},
                              {"max_position_embeddings", config.max_positions},
                              {"rms_norm_eps", config.norm_epsilon},
                              {"rope_theta", config.rope_theta},
                              {"hidden_act", config.activation == "gelu_tanh" ? "gelu_new" : config.activation},
                              {"attention_bias", config.attention_bias},
                              {"mlp_bias", config.mlp_bias},
                              {"tie_word_embeddings", config.tied_head},
                              {"torch_dtype", "float32"}};
  const auto token = [](std::int64_t id) { return id < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(id); };
  json["bos_token_id"] = token(config.bos_token);
  json["eos_token_id"] = token(config.eos_token);
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScaling::Kind::kLinear) {
    json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", scaling.factor}};
  } else if (scaling.kind == RopeScaling::Kind::kLlama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling.factor},
                            {"low_freq_factor", scaling.low_freq_factor},
                            {"high_freq_factor", scaling.high_freq_factor},
                            {"original_max_position_embeddings", scaling.original_max_positions}};
  }
  return json.dump(2) + "\n";
}

}  // namespace tercet
