#include "tercet/generate/speed.hpp"

#include <gtest/gtest.h>

#include "model/small_models.hpp"

namespace tercet {
namespace {

TEST(Speed, IsMeasuredForEachModelWithTheBytesThatATokenReads) {
  const ModelConfig untied = test::small_config(Family::kLlama), tied = test::small_config(Family::kQwen3);
  const Decoder first = Decoder::random(untied, 1), second = Decoder::random(tied, 1);
  const std::vector<Speed> speeds = measure_speed({&first, &second}, {8, 4, 3});
  ASSERT_EQ(speeds.size(), 2u);
  for (const Speed& speed : speeds) {
    for (const Rate& rate : {speed.prefill, speed.decode}) {
      EXPECT_GT(rate.slowest, 0);
      EXPECT_LE(rate.slowest, rate.median);
      EXPECT_LE(rate.median, rate.fastest);
    }
  }
  // Of an untied embedding one row, which is nothing; a tied one is the head too.
  EXPECT_EQ(speeds[0].bytes_per_token, 4u * (first.parameter_count() - untied.vocab_size * untied.hidden_size));
  EXPECT_EQ(speeds[1].bytes_per_token, 4u * second.parameter_count());
}

TEST(Speed, IsMeasuredWithinABudgetAndThePositionsOfTheModel) {
  ModelConfig config = test::small_config(Family::kLlama);
  config.max_positions = 24;
  const Decoder model = Decoder::random(config, 1);
  const SpeedOptions little = options_within({&model, &model}, 1e-6);
  EXPECT_EQ(little.prompt_tokens, 16);
  EXPECT_EQ(little.new_tokens, 4);
  EXPECT_EQ(little.repetitions, 3);
  const SpeedOptions much = options_within({&model, &model}, 1000);
  EXPECT_EQ(much.prompt_tokens + much.new_tokens, 24);
  EXPECT_EQ(much.repetitions, 25);
}

TEST(Speed, InBfloat16IsOfMatricesOfHalfTheBytes) {
  const ModelConfig config = test::small_config(Family::kLlama);
  const Decoder model = Decoder::random(config, 1), half = in_bfloat16(model);
  ASSERT_EQ(half.parameters().size(), model.parameters().size());
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const at::Tensor &before = model.parameters()[i].value, &after = half.parameters()[i].value;
    EXPECT_EQ(before.scalar_type(), at::kFloat) << "the model itself was changed";
    EXPECT_EQ(after.scalar_type(), before.dim() == 2 ? at::kBFloat16 : at::kFloat) << model.parameters()[i].name;
  }
}

TEST(Speed, OfTheMemoryIsPlausible) {
  const MemoryFigures figures = measure_memory();
  EXPECT_GT(figures.read_bytes_per_s, 1e8);
  EXPECT_LT(figures.read_bytes_per_s, 1e13);
}

}  // namespace
}  // namespace tercet
