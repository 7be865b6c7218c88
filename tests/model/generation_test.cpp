// One token at a time with a cache, and computing with packed weights.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include "model/small_models.hpp"
#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "tercet/kernels/packed_matrix.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

using test::all_families;
using test::small_config;
using test::some_ids;

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Generation, WithACacheGivesTheLogitsOfTheWholeSequence) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    const Decoder model = Decoder::random(config, 1);
    const at::Tensor ids = some_ids(1, 12, config.vocab_size);
    const at::Tensor wanted = model.forward(ids)[0];
    KeyValueCache cache(config, 12);
    EXPECT_LT(largest_difference(model.next_logits(ids.narrow(1, 0, 4), cache), wanted[3]), 1e-5);
    for (std::int64_t i = 4; i < 12; ++i) {
      EXPECT_LT(largest_difference(model.next_logits(ids.narrow(1, i, 1), cache), wanted[i]), 1e-5)
          << to_string(family) << ", position " << i;
    }
    EXPECT_EQ(cache.length(), 12);
  }
}

TEST(Generation, TakesMatricesInBfloat16AsTheyAre) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    Decoder model = Decoder::random(config, 1);
    const at::Tensor ids = some_ids(1, 6, config.vocab_size);
    const at::Tensor exact = model.forward(ids)[0];
    for (Parameter& parameter : model.parameters()) {
      if (parameter.value.dim() == 2 && parameter.role != Role::kPositionEmbedding)
        parameter.value = parameter.value.to(at::kBFloat16);
    }
    KeyValueCache cache(config, 6);
    model.next_logits(ids.narrow(1, 0, 5), cache);
    const at::Tensor logits = model.next_logits(ids.narrow(1, 5, 1), cache).to(at::kFloat);
    EXPECT_LT(largest_difference(logits, exact[5]), 0.03 * exact.abs().max().item<double>()) << to_string(family);
  }
}

TEST(Generation, RefusesWhatACacheCannotHold) {
  const ModelConfig config = small_config(Family::kLlama);
  const Decoder model = Decoder::random(config, 1);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { KeyValueCache cache(config, config.max_positions + 1); }),
                  "from 1 to 64");
  KeyValueCache cache(config, 4);
  // Blocks, heads; keys of 6 elements for a tile of positions, values of a tile of elements for 4 positions; bytes.
  EXPECT_EQ(cache.bytes(), 2u * 2 * (6 * 32 + 4 * 32) * 4);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { model.next_logits(some_ids(1, 5, 40), cache); }), "room for 4");
  model.next_logits(some_ids(1, 2, 40), cache);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { model.next_logits(some_ids(1, 2, 40), cache); }), "one token");
}

// Every matrix of a model in a format, norms and biases as they are.
std::vector<StoredParameter> stored_model(const Decoder& model, const std::string& format) {
  const at::NoGradGuard no_grad;
  std::vector<StoredParameter> stored;
  for (const Parameter& parameter : model.parameters()) {
    FormatSpec spec;
    if (is_block_linear(parameter.role)) spec = {number_format(format), Granularity::kChannel};
    if (parameter.role == Role::kEmbedding || parameter.role == Role::kHead) {
      spec = {number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
    }
    if (spec.format->is_grid() && spec.format->name() != "ternary") spec.rule = ScaleRule::kMinMax;
    const at::Tensor value = parameter.input_first ? parameter.value.t().contiguous() : parameter.value;
    stored.push_back({parameter.name, store(value, spec), parameter.input_first});
  }
  return stored;
}

TEST(PackedWeights, GiveTheLogitsOfTheDequantizedModel) {
  for (const Family family : all_families()) {
    for (const std::string format : {"ternary", "int4"}) {
      const ModelConfig config = small_config(family);
      const std::vector<StoredParameter> stored = stored_model(Decoder::random(config, 3), format);
      const at::Tensor ids = some_ids(2, 9, config.vocab_size);
      const auto logits = [&](WeightForm form) {
        Decoder model = Decoder::from_stored(config, stored, form, "cpu");
        model.set_activation_bits(8);
        const at::NoGradGuard no_grad;
        return model.forward(ids);
      };
      const at::Tensor dense = logits(WeightForm::kDense);
      const double magnitude = dense.abs().max().item<double>();
      // Products of levels and scales are rounded to fp16 in the dense form alone, which now and then moves an
      // activation to the next of its 255 levels; trits have nothing to round.
      const double tolerance = format == "ternary" ? 1e-5 : 5e-3;
      EXPECT_LT(largest_difference(logits(WeightForm::kPackedBlocks), dense), tolerance * magnitude)
          << to_string(family) << " " << format;
      EXPECT_LT(largest_difference(logits(WeightForm::kPacked), dense), 0.02 * magnitude)  // the head's input in int8
          << to_string(family) << " " << format;
    }
  }
}

TEST(PackedWeights, GiveTheSameTokenByTokenInEveryFamily) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    Decoder model =
        Decoder::from_stored(config, stored_model(Decoder::random(config, 3), "ternary"), WeightForm::kPacked, "cpu");
    model.set_activation_bits(8);
    const at::NoGradGuard no_grad;
    const at::Tensor ids = some_ids(1, 9, config.vocab_size);
    const at::Tensor wanted = model.forward(ids)[0];
    KeyValueCache cache(config, 9);
    model.next_logits(ids.narrow(1, 0, 8), cache);
    EXPECT_LT(largest_difference(model.next_logits(ids.narrow(1, 8, 1), cache), wanted[8]),
              0.02 * wanted.abs().max().item<double>())  // an activation may move to the next of its 255 levels
        << to_string(family);
  }
}

TEST(PackedWeights, KeepNoDenseCopyAndCountAsParametersInEveryFamily) {
  for (const Family family : all_families()) {
    const ModelConfig config = small_config(family);
    const Decoder original = Decoder::random(config, 3);
    const Decoder packed = Decoder::from_stored(config, stored_model(original, "ternary"), WeightForm::kPacked, "cpu");
    EXPECT_EQ(packed.parameter_count(), original.parameter_count());
    for (const Parameter& parameter : packed.parameters()) {
      const bool matrix =
          is_block_linear(parameter.role) || parameter.role == Role::kEmbedding || parameter.role == Role::kHead;
      EXPECT_EQ(parameter.packed != nullptr, matrix) << to_string(family) << " " << parameter.name;
      EXPECT_EQ(parameter.value.is_meta(), matrix) << to_string(family) << " " << parameter.name;
    }
  }
}

TEST(PackedWeights, OfAnotherShapeThanTheModelsAreRefused) {
  for (const Family family : {Family::kLlama, Family::kGpt2}) {  // stored as the model has them, and transposed
    const ModelConfig config = small_config(family);
    std::vector<StoredParameter> stored = stored_model(Decoder::random(config, 3), "ternary");
    for (StoredParameter& parameter : stored) {
      if (parameter.stored.shape.size() != 2 || parameter.stored.shape[0] != config.intermediate_size) continue;
      parameter.stored = store(dequantize(parameter.stored).t().contiguous(), parameter.stored.spec);
      const auto load = [&] { Decoder::from_stored(config, stored, WeightForm::kPacked, "cpu"); };
      EXPECT_MENTIONS(test::message_of<DataError>(load), parameter.name);
      break;
    }
  }
}

}  // namespace
}  // namespace tercet
