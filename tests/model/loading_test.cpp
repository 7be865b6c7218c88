#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "model/small_models.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using test::small_config;

NamedTensors tensors_of(const Decoder& model) {
  NamedTensors tensors;
  for (const auto& parameter : model.parameters()) tensors.emplace_back(parameter.name, parameter.value.clone());
  return tensors;
}

std::string message_of(const ModelConfig& config, const NamedTensors& tensors) {
  try {
    Decoder::from_parameters(config, tensors, "cpu");
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

void expect_words(const std::string& message, const std::vector<std::string>& words) {
  for (const auto& word : words) EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
}

TEST(Loading, TakesWhatItWasGivenAsACopy) {
  for (const Family family : test::all_families()) {
    const ModelConfig config = small_config(family);
    const Decoder model = Decoder::random(config, 5);
    NamedTensors tensors = tensors_of(model);
    Decoder loaded = Decoder::from_parameters(config, tensors, "cpu");
    const at::Tensor ids = test::some_ids(1, 9, config.vocab_size);
    const at::Tensor expected = model.forward(ids);
    for (auto& entry : tensors) entry.second.zero_();
    EXPECT_TRUE(at::equal(loaded.forward(ids), expected)) << to_string(family);
  }
}

TEST(Loading, ConvertsHalfPrecisionToFp32) {
  const ModelConfig config = small_config(Family::kLlama);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  for (auto& entry : tensors) entry.second = entry.second.to(at::kBFloat16);
  const Decoder loaded = Decoder::from_parameters(config, tensors, "cpu");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(at::equal(loaded.parameters()[i].value, tensors[i].second.to(at::kFloat)));
  }
}

TEST(Loading, NamesAMissingTensorAndTheNearestOne) {
  const ModelConfig config = small_config(Family::kLlama);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  tensors[3].first = "model.layers.0.self_attn.k_prj.weight";
  expect_words(message_of(config, tensors), {"model.layers.0.self_attn.k_proj.weight", "missing", "k_prj"});
}

TEST(Loading, NamesExpectedAndFoundShapes) {
  const ModelConfig config = small_config(Family::kLlama);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  tensors[3].second = at::ones({3, 24});
  expect_words(message_of(config, tensors), {tensors[3].first, "expected [12, 24]", "got [3, 24]"});
}

TEST(Loading, NamesTheFirstNumberThatIsNotFinite) {
  const ModelConfig config = small_config(Family::kLlama);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    NamedTensors tensors = tensors_of(Decoder::random(config, 5));
    tensors[4].second[2][7] = bad;
    tensors[4].second[3][1] = bad;
    expect_words(message_of(config, tensors), {tensors[4].first, "[2, 7]", bad != bad ? "nan" : "inf"});
  }
}

TEST(Loading, RefusesUnknownTensors) {
  const ModelConfig config = small_config(Family::kLlama);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  tensors.emplace_back("model.layers.2.mlp.up_proj.weight", at::ones({36, 24}));
  expect_words(message_of(config, tensors), {"model.layers.2.mlp.up_proj.weight", "num_hidden_layers"});
}

TEST(Loading, RefusesIntegers) {
  const ModelConfig config = small_config(Family::kLlama);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  tensors[1].second = tensors[1].second.to(at::kLong);
  expect_words(message_of(config, tensors), {tensors[1].first, "Long"});
}

TEST(Loading, IgnoresWhatTheFamilyRecomputes) {
  const std::vector<std::pair<Family, std::string>> extras{
      {Family::kLlama, "model.layers.1.self_attn.rotary_emb.inv_freq"},
      {Family::kGpt2, "transformer.h.0.attn.bias"},
      {Family::kGpt2, "transformer.h.0.attn.masked_bias"},
      {Family::kGptNeox, "gpt_neox.layers.0.attention.bias"},
      {Family::kGptNeox, "gpt_neox.layers.0.attention.masked_bias"},
      {Family::kGptNeox, "gpt_neox.layers.0.attention.rotary_emb.inv_freq"}};
  for (const auto& [family, name] : extras) {
    const ModelConfig config = small_config(family);
    NamedTensors tensors = tensors_of(Decoder::random(config, 5));
    tensors.emplace_back(name, at::ones({3}, at::kBool));
    EXPECT_EQ(message_of(config, tensors), "no error") << name;
  }
}

TEST(Loading, TakesATiedHeadStoredTwiceOnlyIfItIsTheSame) {
  const ModelConfig config = small_config(Family::kGpt2);
  NamedTensors tensors = tensors_of(Decoder::random(config, 5));
  tensors.emplace_back("lm_head.weight", tensors[0].second.clone());
  EXPECT_EQ(message_of(config, tensors), "no error");
  tensors.back().second[0][0] += 1;
  expect_words(message_of(config, tensors), {"lm_head.weight", "differs", "tie_word_embeddings"});
}

TEST(Loading, AcceptsGpt2NamesWithoutThePrefix) {
  const ModelConfig config = small_config(Family::kGpt2);
  const Decoder model = Decoder::random(config, 5);
  NamedTensors tensors = tensors_of(model);
  for (auto& entry : tensors) entry.first = entry.first.substr(std::string("transformer.").size());
  tensors.emplace_back("h.0.attn.bias", at::ones({3}));
  const Decoder loaded = Decoder::from_parameters(config, tensors, "cpu");
  EXPECT_EQ(loaded.parameters()[0].name, "transformer.wte.weight");
  const at::Tensor ids = test::some_ids(1, 5, config.vocab_size);
  EXPECT_TRUE(at::equal(loaded.forward(ids), model.forward(ids)));
}

}  // namespace
}  // namespace tercet
