#include "tercet/train/blockwise.hpp"

#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "train/training_run.hpp"

namespace tercet {
namespace {

std::vector<BlockReport> tune(Communicator& comm) {
  BlockwiseCallbacks callbacks;
  callbacks.sample = test::counting_sample;
  Student student = test::ternary_student(1);
  return tune_blocks(comm, student, Decoder::random(test::tiny_config(), 1), test::short_tuning(4), callbacks);
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
