// Every expected figure is worked out by hand beside it.
#include "job/cost_model.hpp"

#include <gtest/gtest.h>

namespace tercet::job {
namespace {

// One rank: 0.1 s a step, 0.02 s a micro-batch, 0.01 s a sequence. 16 sequences of 256 tokens in micro-batches of 4.
CostInputs hand_made() {
  CostInputs inputs;
  inputs.seconds_per_step = 0.1;
  inputs.seconds_per_micro_batch = 0.02;
  inputs.seconds_per_sequence = 0.01;
  inputs.sequences_per_step = 16;
  inputs.sequence_length = 256;
  inputs.micro_batch = 4;
  inputs.own_engine = true;
  inputs.bucket_bytes = {1e6, 3e6};
  inputs.small_reductions = 0;
  inputs.latency_s = 1e-4;
  inputs.bytes_per_s = 1e8;
  return inputs;
}

TEST(AllReduceSeconds, OneRankHasNothingToSend) {
  EXPECT_EQ(all_reduce_seconds(1e9, 1, 1e-3, 1e6), 0);
}

TEST(AllReduceSeconds, LargeSumsGoByTheRing) {
  // 4 ranks: 2*3 messages, 2*3/4 of 8 MB over 100 MB/s: 6e-4 + 0.12
  EXPECT_DOUBLE_EQ(all_reduce_seconds(8e6, 4, 1e-4, 1e8), 6e-4 + 0.12);
}

TEST(AllReduceSeconds, SmallSumsGoByRecursiveDoubling) {
  // 1024 ranks: 10 rounds of 1e-4 + 16 / 1e8 s, instead of 2046 messages
  EXPECT_DOUBLE_EQ(all_reduce_seconds(16, 1024, 1e-4, 1e8), 10 * (1e-4 + 16 / 1e8));
  EXPECT_DOUBLE_EQ(all_reduce_seconds(16, 5, 1e-4, 1e8), 3 * (1e-4 + 16 / 1e8));  // rounds are rounded up
}

TEST(LinkOf, IsTheInverseOfTheReductionsThatWereMeasured) {
  for (const int ranks : {2, 3, 4, 16}) {
    const double small = all_reduce_seconds(4, ranks, 2e-5, 5e8), large = all_reduce_seconds(4e6, ranks, 2e-5, 5e8);
    const Link link = link_of(ranks, small, large, 4e6);
    EXPECT_NEAR(link.latency_s, 2e-5, 1e-7) << ranks;
    EXPECT_NEAR(link.bytes_per_s, 5e8, 5e8 * 2e-3) << ranks;
  }
}

TEST(ExposedSeconds, OnlyWhatEndsAfterBackwardIsWaitedFor) {
  // Backward takes 1 s; buckets of 1 and 3 MB are ready at 0.25 s and 1 s and take 0.1 s and 0.3 s: 0.3 s remain.
  EXPECT_DOUBLE_EQ(exposed_seconds({1e6, 3e6}, {0.1, 0.3}, 1.0, true), 0.3);
  // A first bucket of 1.5 s delays the second: 0.25 + 1.5 + 0.3 - 1.
  EXPECT_DOUBLE_EQ(exposed_seconds({1e6, 3e6}, {1.5, 0.3}, 1.0, true), 1.05);
}

TEST(ExposedSeconds, WithoutAProcessorOfItsOwnNothingIsHidden) {
  EXPECT_DOUBLE_EQ(exposed_seconds({1e6, 3e6}, {0.1, 0.3}, 1.0, false), 0.4);
}

TEST(StepCost, AddsUpTheBusiestRanksShare) {
  // 16 sequences are 4 micro-batches: 0.1 + 4 * 0.02 + 16 * 0.01
  EXPECT_DOUBLE_EQ(step_cost(hand_made(), 1).total(), 0.34);
  // On 3 ranks the first has 6 sequences in 2 micro-batches: 0.1 + 2 * 0.02 + 6 * 0.01. Its last micro-batch has 2, so
  // backward takes half of 0.02 + 2 * 0.01: 0.02 s. Reductions: 4e-4 + 4/3 * 1 MB / 100 MB/s = 0.0137.. and 0.0404.
  const StepCost three = step_cost(hand_made(), 3);
  EXPECT_DOUBLE_EQ(three.compute, 0.2);
  const double first = 4e-4 + 4.0 / 3 * 1e6 / 1e8, second = 4e-4 + 4.0 / 3 * 3e6 / 1e8;
  EXPECT_DOUBLE_EQ(three.communication, first + second);
  EXPECT_DOUBLE_EQ(three.exposed, std::max(0.02, 0.005 + first) + second - 0.02);
  EXPECT_DOUBLE_EQ(three.tokens_per_second, 16 * 256 / (0.2 + three.exposed));
}

TEST(StepCost, RanksThatCrowdANodeSlowEachOtherDown) {
  CostInputs inputs = hand_made();
  inputs.own_engine = false;
  inputs.cores_per_node = 2;
  inputs.ranks_per_node = 8;
  EXPECT_DOUBLE_EQ(slowdown(inputs, 2), 1);
  EXPECT_DOUBLE_EQ(slowdown(inputs, 8), 4);
  EXPECT_DOUBLE_EQ(slowdown(inputs, 64), 4);  // no more than eight share a node
  inputs.measured_ranks = 4;                  // measured when two shared a core already
  EXPECT_DOUBLE_EQ(slowdown(inputs, 8), 2);
  EXPECT_DOUBLE_EQ(slowdown(inputs, 1), 0.5);
}

TEST(StepCost, EvaluationIsSpreadOverTheStepsBetween) {
  CostInputs inputs = hand_made();
  inputs.evaluation_batches = 6;
  inputs.evaluate_every = 20;
  inputs.seconds_per_evaluation_batch = 0.5;
  EXPECT_DOUBLE_EQ(step_cost(inputs, 1).evaluation, 6 * 0.5 / 20);
  EXPECT_DOUBLE_EQ(step_cost(inputs, 4).evaluation, 2 * 0.5 / 20);  // the first rank has two batches of six
}

TEST(StepCost, ASynchronousCheckpointIsWrittenWhileRanksWait) {
  CostInputs inputs = hand_made();
  inputs.checkpoint_bytes = 2e8;
  inputs.disk_bytes_per_s = 1e8;
  inputs.checkpoint_every = 10;
  EXPECT_DOUBLE_EQ(step_cost(inputs, 1).checkpoint, 0.2);
}

TEST(StepCost, AnAsynchronousOneCostsTheCopyUnlessTheDiskFallsBehind) {
  CostInputs inputs = hand_made();
  inputs.checkpoint_bytes = 2e8;
  inputs.disk_bytes_per_s = 1e8;
  inputs.checkpoint_every = 10;
  inputs.asynchronous_checkpoint = true;
  inputs.staged_bytes = 2e8;
  inputs.copy_bytes_per_s = 1e10;
  EXPECT_DOUBLE_EQ(step_cost(inputs, 1).checkpoint, 0.002);  // ten steps of 0.34 s are longer than writing
  inputs.disk_bytes_per_s = 4e7;                             // 5 s of writing in 3.4 s of steps
  EXPECT_DOUBLE_EQ(step_cost(inputs, 1).checkpoint, (0.02 + 5 - 3.4) / 10);
}

TEST(ScalingTable, GoesByDoublingUpToTheWorld) {
  CostInputs inputs = hand_made();
  inputs.sequences_per_step = 64;
  std::vector<int> ranks;
  for (const StepCost& cost : scaling_table(inputs, 12)) ranks.push_back(cost.ranks);
  EXPECT_EQ(ranks, (std::vector<int>{1, 2, 4, 8, 12}));
  EXPECT_EQ(scaling_table(inputs, 1).size(), 1U);
}

TEST(ScalingTable, ComputingAloneThatIsAllInSequencesScalesPerfectly) {
  CostInputs inputs = hand_made();
  inputs.seconds_per_step = inputs.seconds_per_micro_batch = 0;
  inputs.bucket_bytes.clear();
  for (const StepCost& cost : scaling_table(inputs, 16)) EXPECT_NEAR(cost.efficiency, 1.0, 1e-12) << cost.ranks;
}

TEST(FitCompute, FindsTheCoefficientsThatMadeThreeTimes) {
  CostInputs inputs = hand_made();
  const auto seconds = [&](double sequences, double micro_batches) {
    return 0.1 + 0.02 * micro_batches + 0.01 * sequences;
  };
  CostInputs fitted;
  fitted.micro_batch = inputs.micro_batch;
  fit_compute(fitted, seconds(1, 1), seconds(4, 1), seconds(8, 2));
  EXPECT_NEAR(fitted.seconds_per_step, 0.1, 1e-12);
  EXPECT_NEAR(fitted.seconds_per_micro_batch, 0.02, 1e-12);
  EXPECT_NEAR(fitted.seconds_per_sequence, 0.01, 1e-12);
}

TEST(FitCompute, NoiseNeverMakesAPartNegative) {
  CostInputs fitted;
  fitted.micro_batch = 8;
  for (const auto& [one, batch, two] :
       {std::array{0.5, 0.4, 0.5}, std::array{0.1, 0.4, 0.39}, std::array{0.0, 0.4, 0.9}}) {
    fit_compute(fitted, one, batch, two);
    EXPECT_GE(fitted.seconds_per_step, 0);
    EXPECT_GE(fitted.seconds_per_micro_batch, 0);
    EXPECT_GE(fitted.seconds_per_sequence, 0);
  }
}

}  // namespace
}  // namespace tercet::job
