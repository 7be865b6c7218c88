#include "tercet/model/decoder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "model/autocast_scope.hpp"
#include "model/small_models.hpp"

namespace tercet {
namespace {

using test::all_families;
using test::small_config;
using test::some_ids;

TEST(Decoder, NeverLooksAhead) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    const Decoder model = Decoder::random(config, 1);
    const at::Tensor ids = some_ids(2, 12, config.vocab_size);
    at::Tensor changed = ids.clone();
    changed.select(1, 8).add_(1).remainder_(config.vocab_size);
    const at::Tensor a = model.forward(ids), b = model.forward(changed);
    EXPECT_TRUE(at::equal(a.narrow(1, 0, 8), b.narrow(1, 0, 8))) << to_string(family);
    EXPECT_FALSE(at::equal(a.narrow(1, 8, 4), b.narrow(1, 8, 4))) << to_string(family);
  }
}

TEST(Decoder, SlidingWindowForgetsWhatLiesBeforeIt) {
  ModelConfig config = small_config(Family::kMistral);
  config.layers = 1;  // with more, information travels on through the layers
  const Decoder model = Decoder::random(config, 1);
  const at::Tensor ids = some_ids(1, 12, config.vocab_size);
  at::Tensor changed = ids.clone();
  changed.select(1, 2).add_(1);
  const at::Tensor a = model.forward(ids), b = model.forward(changed);
  const auto reach = 2 + *config.sliding_window;  // position i sees (i - window, i]
  EXPECT_FALSE(at::equal(a.select(1, reach - 1), b.select(1, reach - 1)));
  EXPECT_TRUE(at::equal(a.narrow(1, reach, 12 - reach), b.narrow(1, reach, 12 - reach)));
}

TEST(Decoder, CloneSharesNothingThatTrains) {
  const ModelConfig config = small_config(Family::kLlama);
  const Decoder model = Decoder::random(config, 1);
  const at::Tensor ids = some_ids(1, 8, config.vocab_size);
  const at::Tensor before = model.forward(ids);
  Decoder copy = model.clone();
  EXPECT_TRUE(at::equal(copy.forward(ids), before));
  for (auto& parameter : copy.parameters()) parameter.value.mul_(1.5);
  EXPECT_TRUE(at::equal(model.forward(ids), before));
  EXPECT_FALSE(at::equal(copy.forward(ids), before));
}

TEST(Decoder, UsesExactlyTheTensorsInParameters) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    Decoder model = Decoder::random(config, 1);
    const at::Tensor ids = some_ids(2, 12, config.vocab_size);
    const at::Tensor before = model.forward(ids);
    for (auto& parameter : model.parameters()) {
      const at::Tensor original = parameter.value;
      parameter.value = original + at::arange(original.numel(), at::kFloat).sin().view(original.sizes()).mul(0.05);
      const bool key_bias = parameter.role == Role::kBias && parameter.name.find("k_proj") != std::string::npos;
      if (!key_bias) {
        EXPECT_FALSE(at::equal(model.forward(ids), before)) << parameter.name;
      }
      parameter.value = original;
    }
    EXPECT_TRUE(at::equal(model.forward(ids), before));
  }
}

TEST(Decoder, EveryParameterGetsAFiniteGradientThatIsNotZero) {
  for (const Family family : all_families()) {
    for (const bool autocast : {false, true}) {
      const ModelConfig config = small_config(family);
      Decoder model = Decoder::random(config, 3);
      model.set_activation_bits(8);
      for (auto& parameter : model.parameters()) parameter.value.set_requires_grad(true);
      at::Tensor logits;
      {
        const test::AutocastScope scope(autocast);
        logits = model.forward(some_ids(3, 12, config.vocab_size));
      }
      EXPECT_EQ(logits.scalar_type(), autocast ? at::kBFloat16 : at::kFloat);
      logits.to(at::kFloat).log_softmax(-1).select(-1, 5).sum().backward();
      for (const auto& parameter : model.parameters()) {
        const at::Tensor grad = parameter.value.grad();
        ASSERT_TRUE(grad.defined()) << parameter.name;
        EXPECT_EQ(grad.scalar_type(), at::kFloat) << parameter.name;
        EXPECT_TRUE(at::isfinite(grad).all().item<bool>()) << parameter.name;
        EXPECT_GT(grad.abs().max().item<float>(), 0.0f) << parameter.name << " autocast " << autocast;
      }
    }
  }
}

TEST(Decoder, AutocastStaysNearFp32) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    const Decoder model = Decoder::random(config, 3);
    const at::Tensor ids = some_ids(2, 12, config.vocab_size);
    const at::Tensor exact = model.forward(ids);
    const test::AutocastScope scope(true);
    const at::Tensor rough = model.forward(ids);
    EXPECT_LE((rough.to(at::kFloat) - exact).abs().max().item<float>(), 0.02f * exact.abs().max().item<float>() + 1e-3f)
        << to_string(family);
  }
}

TEST(Decoder, ActivationQuantizationChangesLogitsALittle) {
  const ModelConfig config = small_config(Family::kLlama);
  Decoder model = Decoder::random(config, 3);
  const at::Tensor ids = some_ids(2, 12, config.vocab_size);
  const at::Tensor exact = model.forward(ids);
  model.set_activation_bits(8);
  const at::Tensor quantized = model.forward(ids);
  EXPECT_FALSE(at::equal(exact, quantized));
  EXPECT_LE((quantized - exact).abs().max().item<float>(), 0.05f * exact.abs().max().item<float>());
}

TEST(Decoder, ObserverSeesEveryBlockLinearAndTheHeadOnceInForwardOrder) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    Decoder model = Decoder::random(config, 3);
    std::vector<std::size_t> seen;
    model.set_observer([&](std::size_t index, const at::Tensor& input) {
      const Parameter& parameter = model.parameters()[index];
      const auto d_in = parameter.value.size(parameter.input_first ? 0 : 1);
      EXPECT_EQ(input.sizes(), at::IntArrayRef({2 * 12, d_in})) << parameter.name;
      EXPECT_FALSE(input.requires_grad());
      EXPECT_FALSE(at::GradMode::is_enabled());
      seen.push_back(index);
    });
    for (auto& parameter : model.parameters()) parameter.value.set_requires_grad(true);
    model.forward(some_ids(2, 12, config.vocab_size));
    std::vector<std::size_t> expected;
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      if (is_block_linear(model.parameters()[i].role)) expected.push_back(i);
    }
    expected.push_back(config.tied_head ? 0 : model.parameters().size() - 1);
    EXPECT_EQ(seen, expected) << to_string(family);
  }
}

TEST(Decoder, AttentionObserverSeesQueriesAndKeysOfEveryBlock) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    Decoder model = Decoder::random(config, 3);
    for (auto& parameter : model.parameters()) parameter.value.set_requires_grad(true);
    std::vector<int> seen;
    model.set_attention_observer([&](int layer, const at::Tensor& query, const at::Tensor& key) {
      EXPECT_EQ(query.sizes(), at::IntArrayRef({2, config.heads, 12, config.head_dim})) << to_string(family);
      EXPECT_EQ(key.sizes(), query.sizes()) << to_string(family);
      EXPECT_FALSE(query.requires_grad() || key.requires_grad() || at::GradMode::is_enabled());
      seen.push_back(layer);
    });
    model.forward(some_ids(2, 12, config.vocab_size));
    EXPECT_EQ(seen, (std::vector<int>{0, 1})) << to_string(family);
  }
}

TEST(Decoder, GivesTheStreamsThatBlockAfterBlockGives) {
  for (const Family family : all_families()) {
    const auto model = Decoder::random(small_config(family), 3);
    const at::Tensor ids = some_ids(2, 6, model.config().vocab_size);
    ForwardTap tap;
    tap.wants_streams = true;
    const at::Tensor logits = model.forward(ids, tap);
    const std::vector<at::Tensor>& streams = tap.streams;
    EXPECT_TRUE(at::equal(logits, model.forward(ids))) << to_string(family);
    ASSERT_EQ(static_cast<std::int64_t>(streams.size()), model.config().layers);
    at::Tensor stream = model.embed(ids);
    for (int block = 0; block < static_cast<int>(streams.size()); ++block) {
      stream = model.block(block, stream);
      EXPECT_TRUE(at::equal(streams[static_cast<std::size_t>(block)], stream)) << to_string(family) << " " << block;
    }
  }
}

TEST(Decoder, GivesTheHeadsOfTheBlockThatIsAskedFor) {
  for (const Family family : all_families()) {
    Decoder model = Decoder::random(small_config(family), 3);
    const at::Tensor ids = some_ids(2, 6, model.config().vocab_size);
    at::Tensor query, key;
    model.set_attention_observer([&](int block, const at::Tensor& q, const at::Tensor& k) {
      if (block == 1) std::tie(query, key) = std::pair(q, k);
    });
    ForwardTap tap;
    tap.attention_of = 1;
    model.forward(ids, tap);
    EXPECT_TRUE(at::equal(tap.query, query)) << to_string(family);
    EXPECT_TRUE(at::equal(tap.key, key)) << to_string(family);
    EXPECT_EQ(tap.value.sizes(), key.sizes()) << to_string(family);
    EXPECT_TRUE(tap.streams.empty());
  }
}

TEST(Decoder, TiedHeadIsTheEmbedding) {
  ModelConfig config = small_config(Family::kLlama);
  const auto untied = Decoder::random(config, 3);
  config.tied_head = true;
  Decoder tied = Decoder::random(config, 3);
  EXPECT_EQ(untied.parameter_count() - tied.parameter_count(), config.vocab_size * config.hidden_size);
  EXPECT_EQ(untied.parameters().back().role, Role::kHead);
  for (const auto& parameter : tied.parameters()) EXPECT_NE(parameter.role, Role::kHead);
  const at::Tensor hidden = tied.hidden_states(some_ids(1, 4, config.vocab_size));
  const at::Tensor expected = hidden.matmul(tied.parameters()[0].value.t());
  EXPECT_LE((tied.head(hidden) - expected).abs().max().item<float>(), 1e-6f);
}

// The system this one replaces ternarised post_attention_layernorm because its name holds "attention".
TEST(Roles, NormsAreNeverLinear) {
  for (const Family family : all_families()) {
    const Decoder model = Decoder::random(small_config(family), 1);
    for (const auto& parameter : model.parameters()) {
      const bool norm =
          parameter.name.find("norm") != std::string::npos || parameter.name.find("ln_") != std::string::npos;
      if (norm) {
        EXPECT_EQ(parameter.role, Role::kNorm) << parameter.name;
      }
      if (parameter.value.dim() == 1) {
        EXPECT_FALSE(is_block_linear(parameter.role)) << parameter.name;
      }
    }
  }
}

// ... and skipped GPT-2's attention, whose layers are not called q_proj.
TEST(Roles, EveryMatrixInsideABlockIsABlockLinear) {
  for (const Family family : all_families()) {
    std::map<int, std::set<Role>> roles;
    const Decoder model = Decoder::random(small_config(family), 1);
    for (const auto& parameter : model.parameters()) {
      const bool inside = parameter.layer >= 0 && parameter.value.dim() == 2;
      EXPECT_EQ(is_block_linear(parameter.role), inside) << parameter.name;
      if (inside) roles[parameter.layer].insert(parameter.role);
      EXPECT_EQ(parameter.input_first, inside && family == Family::kGpt2) << parameter.name;
    }
    const bool fused = family == Family::kGpt2 || family == Family::kGptNeox;
    EXPECT_EQ(roles.size(), 2u);
    for (const auto& [layer, found] : roles) EXPECT_EQ(found.size(), fused ? 4u : 7u);
  }
}

TEST(Roles, HaveNamesAndAnOrder) {
  EXPECT_EQ(to_string(Role::kEmbedding), "embedding");
  EXPECT_EQ(to_string(Role::kFusedQkv), "fused_qkv");
  EXPECT_EQ(to_string(Role::kDown), "down");
  const auto model = Decoder::random(small_config(Family::kLlama), 1);
  int last = -1;
  for (const auto& parameter : model.parameters()) {
    if (parameter.layer < 0) continue;
    EXPECT_GE(parameter.layer, last);
    last = parameter.layer;
  }
  EXPECT_EQ(model.parameters().front().name, "model.embed_tokens.weight");
  EXPECT_EQ(model.parameters()[model.parameters().size() - 2].name, "model.norm.weight");
  EXPECT_EQ(model.parameters().back().name, "lm_head.weight");
}

TEST(RandomDecoder, IsAFunctionOfTheSeed) {
  const ModelConfig config = small_config(Family::kLlama);
  const auto a = Decoder::random(config, 7), b = Decoder::random(config, 7), c = Decoder::random(config, 8);
  for (std::size_t i = 0; i < a.parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(a.parameters()[i].value, b.parameters()[i].value));
    const bool drawn = a.parameters()[i].role != Role::kNorm;
    EXPECT_EQ(at::equal(a.parameters()[i].value, c.parameters()[i].value), !drawn);
    EXPECT_FALSE(a.parameters()[i].value.requires_grad());
  }
}

TEST(RandomDecoder, HasTheSpreadItPromises) {
  ModelConfig config = small_config(Family::kLlama);
  config.hidden_size = 96;
  config.vocab_size = 1000;
  config.layers = 8;
  const auto model = Decoder::random(config, 7);
  const at::Tensor& embedding = model.parameters()[0].value;
  EXPECT_NEAR(embedding.mean().item<double>(), 0.0, 3e-4);
  EXPECT_NEAR(embedding.std().item<double>(), 0.02, 3e-4);
  for (const auto& parameter : model.parameters()) {
    if (parameter.role == Role::kDown) {
      EXPECT_NEAR(parameter.value.std().item<double>(), 0.02 / 4, 5e-4);
    }
    if (parameter.role == Role::kNorm) {
      EXPECT_TRUE(parameter.value.eq(1).all().item<bool>());
    }
  }
}

TEST(Decoder, RefusesSequencesLongerThanLearnedPositions) {
  const ModelConfig config = small_config(Family::kGpt2);
  const Decoder model = Decoder::random(config, 1);
  EXPECT_THROW(model.forward(some_ids(1, config.max_positions + 1, config.vocab_size)), std::runtime_error);
}

}  // namespace
}  // namespace tercet
