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

TEST(Speed, OfTheMemoryIsPlausible) {
  const MemoryFigures figures = measure_memory();
  EXPECT_GT(figures.read_bytes_per_s, 1e8);
  EXPECT_LT(figures.read_bytes_per_s, 1e13);
}

}  // namespace
}  // namespace tercet
