#include "tercet/model_io/model_config.hpp"

#include <nlohmann/json.hpp>

#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "support/shared_data.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using test::message_of;

const json kLlama = {{"model_type", "llama"},       {"vocab_size", 512},      {"hidden_size", 64},
                     {"intermediate_size", 172},    {"num_hidden_layers", 5}, {"num_attention_heads", 8},
                     {"num_key_value_heads", 4},    {"rms_norm_eps", 1e-5},   {"max_position_embeddings", 512},
                     {"tie_word_embeddings", true}, {"bos_token_id", 1},      {"eos_token_id", {2, 3}}};

json with(json base, const json& changes) {
  base.update(changes);
  return base;
}

ModelConfig parse(const json& config) {
  return parse_model_config(config.dump(), "folder/config.json");
}

TEST(ModelConfig, ReadsLlama) {
  const ModelConfig config = parse(kLlama);
  EXPECT_EQ(config.family, Family::kLlama);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.eos_token, 2);
  EXPECT_TRUE(config.tied_head);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_DOUBLE_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.activation, "silu");
  EXPECT_EQ(json::parse(config.json), kLlama);
}

TEST(ModelConfig, ReadsRopeKeysOfBothGenerationsAlike) {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 256}};
  const ModelConfig old_keys = parse(with(kLlama, {{"rope_theta", 5e5}, {"rope_scaling", scaling}}));
  const ModelConfig new_keys = parse(with(kLlama, {{"rope_parameters", with(scaling, {{"rope_theta", 5e5}})}}));
  for (const ModelConfig& config : {old_keys, new_keys}) {
    EXPECT_DOUBLE_EQ(config.rope_theta, 5e5);
    EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
    EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 8.0);
    EXPECT_EQ(config.rope_scaling.original_max_positions, 256);
  }
}

TEST(ModelConfig, ReadsLinearRopeWithItsOldKey) {
  const ModelConfig config = parse(with(kLlama, {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}));
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 2.0);
}

TEST(ModelConfig, ReadsMistralWindowAndItsDefaults) {
  const json mistral = with(kLlama, {{"model_type", "mistral"}});
  EXPECT_EQ(parse(mistral).sliding_window, 4096);
  EXPECT_EQ(parse(with(mistral, {{"sliding_window", 16}})).sliding_window, 16);
  EXPECT_FALSE(parse(with(mistral, {{"sliding_window", nullptr}})).sliding_window.has_value());
  json no_kv = mistral;
  no_kv.erase("num_key_value_heads");
  EXPECT_EQ(parse(no_kv).kv_heads, 8);
}

TEST(ModelConfig, GivesQwen2BiasesOnQueryKeyAndValueOnly) {
  const ModelConfig config = parse(with(kLlama, {{"model_type", "qwen2"}, {"use_sliding_window", false}}));
  EXPECT_TRUE(config.attention_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_FALSE(config.sliding_window.has_value());
}

TEST(ModelConfig, ReadsQwen3HeadDimApartFromTheWidth) {
  const json qwen3 = with(kLlama, {{"model_type", "qwen3"}, {"head_dim", 32}});
  EXPECT_EQ(parse(qwen3).head_dim, 32);
  EXPECT_FALSE(parse(qwen3).attention_bias);
  EXPECT_TRUE(parse(with(qwen3, {{"attention_bias", true}})).attention_output_bias);
  EXPECT_EQ(parse(with(kLlama, {{"model_type", "qwen3"}})).head_dim, 128);
}

TEST(ModelConfig, ReadsGpt2WithItsOwnKeys) {
  const ModelConfig config = parse({{"model_type", "gpt2"},
                                    {"vocab_size", 100},
                                    {"n_embd", 48},
                                    {"n_layer", 2},
                                    {"n_head", 4},
                                    {"n_inner", nullptr},
                                    {"n_positions", 64},
                                    {"eos_token_id", 50256}});
  EXPECT_EQ(config.intermediate_size, 192);
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.activation, "gelu_tanh");
  EXPECT_TRUE(config.tied_head);
  EXPECT_TRUE(config.attention_bias && config.attention_output_bias && config.mlp_bias);
  EXPECT_EQ(config.eos_token, -1) << "an id outside the vocabulary is none";
}

TEST(ModelConfig, ReadsGptNeoxOfBothGenerationsAlike) {
  const json base = {{"model_type", "gpt_neox"}, {"vocab_size", 128},
                     {"hidden_size", 64},        {"num_hidden_layers", 2},
                     {"num_attention_heads", 4}, {"intermediate_size", 256},
                     {"layer_norm_eps", 1e-5},   {"use_parallel_residual", false}};
  const ModelConfig old_keys = parse(with(base, {{"rotary_pct", 0.5}, {"rotary_emb_base", 20000}}));
  const ModelConfig new_keys =
      parse(with(base, {{"rope_parameters", {{"partial_rotary_factor", 0.5}, {"rope_theta", 20000}}}}));
  for (const ModelConfig& config : {old_keys, new_keys}) {
    EXPECT_DOUBLE_EQ(config.rotary_fraction, 0.5);
    EXPECT_DOUBLE_EQ(config.rope_theta, 20000);
    EXPECT_FALSE(config.parallel_residual);
    EXPECT_FALSE(config.tied_head);
    EXPECT_TRUE(config.attention_bias);
    EXPECT_EQ(config.activation, "gelu");
  }
  EXPECT_DOUBLE_EQ(parse(base).rotary_fraction, 0.25);
}

TEST(ModelConfig, RefusesWhatIsNotImplementedNamingKeyValueAndWhatIs) {
  const std::vector<std::pair<json, std::string>> cases = {
      {{{"model_type", "mamba"}}, "model_type"},
      {{{"hidden_act", "relu2"}}, "hidden_act"},
      {{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, "yarn"},
      {{{"rope_scaling", {{"type", "dynamic"}, {"factor", 4.0}}}}, "dynamic"},
      {{{"quantization_config", {{"quant_method", "gptq"}}}}, "quantization_config"},
      {{{"model_type", "qwen2"}, {"use_sliding_window", true}}, "use_sliding_window"},
      {{{"layer_types", {"full_attention", "sliding_attention"}}}, "layer_types"},
      {{{"partial_rotary_factor", 0.5}}, "partial_rotary_factor"},
      {{{"rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}}}, "full_attention"},
      {{{"model_type", "mistral"}, {"attention_bias", true}}, "attention_bias"}};
  for (const auto& [changes, key] : cases) {
    const std::string message = message_of<DataError>([&] { parse(with(kLlama, changes)); });
    EXPECT_MENTIONS(message, key);
    EXPECT_MENTIONS(message, "folder/config.json");
  }
}

TEST(ModelConfig, RefusesSizesThatAreMissingWrongOrInconsistent) {
  const std::vector<std::pair<json, std::string>> cases = {{{{"hidden_size", nullptr}}, "hidden_size"},
                                                           {{{"hidden_size", -64}}, "hidden_size"},
                                                           {{{"hidden_size", 1.5}}, "hidden_size"},
                                                           {{{"hidden_size", "64"}}, "hidden_size"},
                                                           {{{"vocab_size", 1ULL << 63}}, "vocab_size"},
                                                           {{{"num_hidden_layers", 0}}, "num_hidden_layers"},
                                                           {{{"num_attention_heads", 7}}, "hidden_size"},
                                                           {{{"num_key_value_heads", 3}}, "num_key_value_heads"},
                                                           {{{"head_dim", 7}}, "head_dim"},
                                                           {{{"rms_norm_eps", "small"}}, "rms_norm_eps"},
                                                           {{{"head_dim", 1 << 19}}, "num_attention_heads"},
                                                           {{{"tie_word_embeddings", 1}}, "tie_word_embeddings"}};
  for (const auto& [changes, key] : cases) {
    EXPECT_MENTIONS(message_of<DataError>([&] { parse(with(kLlama, changes)); }), "'" + key + "'");
  }
}

TEST(ModelConfig, RefusesTextThatIsNoPlainJsonObject) {
  EXPECT_MENTIONS(message_of<DataError>([] { parse_model_config("{", "config.json"); }), "JSON");
  EXPECT_MENTIONS(message_of<DataError>([] { parse_model_config("[1]", "config.json"); }), "object");
  EXPECT_MENTIONS(message_of<DataError>([] { parse_model_config(R"({"a":1,"a":2})", "config.json"); }), "twice");
  const std::string deep = "{\"vocab_size\":" + std::string(1 << 20, '[');
  EXPECT_MENTIONS(message_of<DataError>([&] { parse_model_config(deep, "config.json"); }), "nested");
}

TEST(ModelConfig, RefusesAFolderWithoutConfig) {
  const test::ScratchFolder folder;
  EXPECT_MENTIONS(message_of<DataError>([&] { read_model_config(folder.path()); }), "config.json");
  EXPECT_MENTIONS(message_of<DataError>([&] { read_model_config(folder / "absent"); }), "not a folder");
}

TEST(ModelConfig, WritesAConfigThatReadsBackTheSame) {
  ModelConfig config = parse(with(kLlama, {{"rope_theta", 2e4}, {"attention_bias", true}}));
  config.rope_scaling = {RopeScaling::Kind::kLinear, 2.0, 1.0, 4.0, 0};
  const ModelConfig again = parse_model_config(llama_config_json(config), "written");
  EXPECT_EQ(again.hidden_size, config.hidden_size);
  EXPECT_EQ(again.kv_heads, config.kv_heads);
  EXPECT_EQ(again.eos_token, config.eos_token);
  EXPECT_EQ(again.tied_head, config.tied_head);
  EXPECT_EQ(again.attention_output_bias, true);
  EXPECT_DOUBLE_EQ(again.rope_theta, 2e4);
  EXPECT_EQ(again.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_DOUBLE_EQ(again.norm_epsilon, config.norm_epsilon);
}

TEST(ModelConfig, ReadsTheRealModels) {
  if (!std::filesystem::exists(test::shared_data() / "models")) GTEST_SKIP() << "shared data is not here";
  for (const std::string name : {"stories260K", "babyllama_tok105", "ref_llama_3M"}) {
    const ModelConfig config = read_model_config(test::shared_data() / "models" / name / "hf");
    EXPECT_EQ(config.family, Family::kLlama);
    EXPECT_EQ(config.heads * config.head_dim, config.hidden_size);
    EXPECT_TRUE(config.tied_head);
  }
}

}  // namespace
}  // namespace tercet
