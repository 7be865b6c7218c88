#include "tercet/train/blockwise.hpp"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
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

// Masters and seen values, streamed or not.
void expect_the_same(const Student& actual, const Student& expected) {
  for (std::size_t i = 0; i < expected.parameters().size(); ++i) {
    const std::string& name = expected.parameters()[i].name;
    EXPECT_TRUE(at::equal(actual.parameters()[i].full_master(), expected.parameters()[i].full_master())) << name;
    EXPECT_TRUE(at::equal(values_of(actual.decoder().parameters()[i]).detach(),
                          values_of(expected.decoder().parameters()[i]).detach()))
        << name;
  }
}

class StreamedTuning : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, StreamedTuning, testing::Values(Family::kLlama, Family::kGpt2),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(StreamedTuning, ComesToTheBitsOfOneInMemoryAndLeavesNoBlockThere) {
  const test::SharedScratchFolder scratch;
  const Decoder original = Decoder::random(test::tiny_config(GetParam()), 1);
  BlockwiseCallbacks callbacks;
  callbacks.sample = test::counting_sample;
  for (const std::int64_t window : {1, 2}) {
    BlockwiseOptions options = test::short_tuning(2);
    options.window = window;
    options.scale_epochs = window - 1;  // fixes scales
    options.folder = scratch.path();
    Student resident(original.clone(), test::ternary_plan(original));
    Student streamed(test::streamed(original), test::ternary_plan(original));
    EXPECT_TRUE(streamed.streams());
    expect_the_same(streamed, resident);
    const auto expected = tune_blocks(test::world(), resident, original, options, callbacks);
    const auto reports = tune_blocks(test::world(), streamed, test::streamed(original), options, callbacks);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(reports[i].error_before, expected[i].error_before);
      EXPECT_EQ(reports[i].error_after, expected[i].error_after);
    }
    expect_the_same(streamed, resident);
    for (std::size_t i = 0; i < streamed.parameters().size(); ++i) {
      const Parameter& parameter = streamed.decoder().parameters()[i];
      EXPECT_EQ(streamed.parameters()[i].master.is_meta(), parameter.layer >= 0) << parameter.name;
    }
  }
}

}  // namespace
}  // namespace tercet
