#include "tercet/train/blockwise.hpp"

#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

std::vector<BlockReport> tune(Communicator& comm) {
  BlockwiseOptions options;
  options.samples = 16;
  options.sequence_length = 16;
  options.sequences_per_step = 8;
  options.micro_batch = 4;
  options.epochs = 4;
  options.bfloat16 = false;
  options.optimizer.kind = "adamw";
  BlockwiseCallbacks callbacks;
  callbacks.sample = test::counting_sample;
  Student student = test::ternary_student(1);
  return tune_blocks(comm, student, Decoder::random(test::tiny_config(), 1), options, callbacks);
}

TEST(BlockTuningOnRanks, ComesToWhatOneRankComesToWithinRounding) {
  const auto alone = make_self_communicator();
  const std::vector<BlockReport> one = tune(*alone), many = tune(test::world());
  ASSERT_EQ(one.size(), many.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(many[i].error_before, one[i].error_before, 0.02 * one[i].error_before);
    EXPECT_NEAR(many[i].error_after, one[i].error_after, 0.02 * one[i].error_after);
  }
}

}  // namespace
}  // namespace tercet
