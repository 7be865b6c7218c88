#include "tercet/train/schedule.hpp"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tercet/comm/communicator.hpp"
#include "tercet/train/trainer.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

TEST(Schedule, RisesInEqualPartsToThePeakAtTheEndOfTheWarmUp) {
  const ScheduleOptions options{100, 4, "linear", 0.0};
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 0), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 1), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 2), 0.75);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 3), 1.0);
}

TEST(Schedule, FallsInAStraightLineToItsFinalShare) {
  const ScheduleOptions options{14, 4, "linear", 0.2};
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 4), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 9), 0.6);    // half of the 10 decaying steps are done
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 13), 0.28);  // the last step: a tenth of the way is left
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 14), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 1000), 0.2);
}

TEST(Schedule, FallsAsHalfACosineOrNotAtAll) {
  EXPECT_DOUBLE_EQ(learning_rate_factor({10, 0, "cosine", 0.0}, 0), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_factor({10, 0, "cosine", 0.0}, 5), 0.5);
  EXPECT_NEAR(learning_rate_factor({10, 0, "cosine", 0.1}, 10), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate_factor({10, 2, "constant", 0.0}, 9), 1.0);
}

TEST(Schedule, StaysAtThePeakWhileItIsHeldAndFallsOverTheRest) {
  ScheduleOptions options{20, 4, "linear", 0.2};
  options.hold = 0.5;
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 3), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 10), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 15), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 20), 0.2);
  options.hold = 0.1;  // shorter than the warm-up: it falls from the end of that
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 12), learning_rate_factor({20, 4, "linear", 0.2}, 12));
}

TEST(Schedule, InTwoStagesIsLinearAndDropsWhereTheSecondBegins) {
  ScheduleOptions options{20, 4, "two_stage", 0.2};
  options.second_stage = 0.5;
  options.second_stage_at = 0.5;
  ScheduleOptions linear = options;
  linear.decay = "linear";
  for (const std::int64_t step : {0, 3, 4, 9}) {
    EXPECT_DOUBLE_EQ(learning_rate_factor(options, step), learning_rate_factor(linear, step)) << step;
  }
  for (const std::int64_t step : {10, 15, 19}) {
    EXPECT_DOUBLE_EQ(learning_rate_factor(options, step), 0.5 * learning_rate_factor(linear, step)) << step;
  }
  options.second_stage_at = 0.25;
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 4), learning_rate_factor(linear, 4));
  EXPECT_DOUBLE_EQ(learning_rate_factor(options, 5), 0.5 * learning_rate_factor(linear, 5));
}

// How far the first step moves the master that moves most. AdamW's first step is lr * g / (|g| + epsilon).
double largest_first_step(std::int64_t warmup_steps) {
  Student student = test::plain_student();
  const auto before = student.copy_masters();
  TrainerOptions options;
  options.sequences_per_step = 2;
  options.sequence_length = 8;
  options.bfloat16 = false;
  options.optimizer.kind = "adamw";
  options.optimizer.learning_rate = 1e-3;
  options.schedule = {1, warmup_steps, "constant", 0.0};
  const auto comm = make_self_communicator();
  run_training(*comm, student, nullptr, options, {test::counting_sample});
  double largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const at::Tensor moved = student.parameters()[i].master.detach() - before[i];
    largest = std::max(largest, moved.abs().max().item<double>());
  }
  return largest;
}

// In the original, warm-up changed a number that no update read.
TEST(Schedule, OfAWarmUpChangesTheStepThatIsTaken) {
  EXPECT_NEAR(largest_first_step(0), 1e-3, 2e-6);
  EXPECT_NEAR(largest_first_step(10), 1e-4, 2e-7);
}

}  // namespace
}  // namespace tercet
