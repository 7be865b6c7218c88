#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "support/shared_scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/train/trainer.hpp"
#include "train/training_run.hpp"

namespace tercet {
namespace {

using test::Recorder;
using test::short_run;

// Trains on this process alone and on all ranks, and compares step by step.
void expect_the_same_curve(const std::function<Student()>& make_student, const TrainerOptions& options,
                           double tolerance) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 5);
  Recorder alone, together;
  const auto self = make_self_communicator();
  Student one = make_student(), many = make_student();
  run_training(*self, one, &teacher, options, alone.callbacks());
  run_training(test::world(), many, &teacher, options, together.callbacks());
  ASSERT_EQ(alone.steps.size(), together.steps.size());
  for (std::size_t i = 0; i < alone.steps.size(); ++i) {
    EXPECT_NEAR(together.steps[i].loss, alone.steps[i].loss, tolerance) << "step " << i + 1;
    EXPECT_NEAR(together.steps[i].kl, alone.steps[i].kl, tolerance) << "step " << i + 1;
  }
}

TEST(TrainingOnRanks, FollowsTheLossOfOneRankWithinRounding) {
  TrainerOptions options = short_run(8);
  options.distillation = 0.5;
  expect_the_same_curve([] { return test::plain_student(); }, options, 2e-4);
}

// A weight at a threshold may fall on the other side, so a ternary model is held to less.
TEST(TrainingOnRanks, OfATernaryStudentFollowsTheLossOfOneRank) {
  expect_the_same_curve([] { return test::ternary_student(); }, short_run(8), 1e-2);
}

TEST(TrainingOnRanks, WithAdamWFollowsTheLossOfOneRank) {
  TrainerOptions options = short_run(8);
  options.optimizer.kind = "adamw";
  expect_the_same_curve([] { return test::plain_student(); }, options, 5e-4);
}

TEST(TrainingOnRanks, TakesTheSameSamplesEachOnOneRank) {
  Communicator& comm = test::world();
  Student student = test::plain_student();
  Recorder recorder;
  run_training(comm, student, nullptr, short_run(3), recorder.callbacks());
  std::string mine;
  for (const std::uint64_t index : recorder.sampled) mine.append(std::to_string(index)).append(" ");
  std::multiset<std::uint64_t> all;
  for (const std::string& text : comm.all_gather(mine)) {
    std::istringstream words(text);
    for (std::uint64_t index = 0; words >> index;) all.insert(index);
  }
  ASSERT_EQ(all.size(), 24u);
  std::uint64_t expected = 0;
  for (const std::uint64_t index : all) EXPECT_EQ(index, expected++);
}

TEST(TrainingOnRanks, LeavesTheSameMastersOnEveryRank) {
  Communicator& comm = test::world();
  Student student = test::ternary_student();
  run_training(comm, student, nullptr, short_run(5), {test::counting_sample, {}, {}, {}});
  for (const TrainedParameter& parameter : student.parameters()) {
    at::Tensor root = parameter.master.detach().clone();
    comm.broadcast(root, 0);
    EXPECT_TRUE(at::equal(root, parameter.master.detach())) << parameter.name;
  }
}

TEST(TrainingOnRanks, StartsEveryReductionDuringTheBackwardPass) {
  Student student = test::plain_student();
  Recorder recorder;
  run_training(test::world(), student, nullptr, short_run(2), recorder.callbacks());
  for (const StepRecord& record : recorder.steps) EXPECT_EQ(record.overlapped_buckets, 1.0);
}

TEST(TrainingOnRanks, GivesUpTogetherWhenOneRankHasANotANumber) {
  Student student = test::plain_student();
  TrainerCallbacks callbacks;
  callbacks.sample = [](std::uint64_t index, std::span<std::int64_t> ids) {
    for (auto& id : ids) id = index % 8 == 0 ? 0 : 1;  // the poison is in the first rank's share only
  };
  student.parameters()[0].master.detach()[0].fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THROW(run_training(test::world(), student, nullptr, short_run(9), callbacks), NumericError);
}

TEST(TrainingOnRanks, ResumesToTheBit) {
  Communicator& comm = test::world();
  const test::SharedScratchFolder folder;
  TrainerOptions options = short_run(6);
  Student whole = test::ternary_student();
  run_training(comm, whole, nullptr, options, {test::counting_sample, {}, {}, {}});
  options.checkpoint_every = 2;
  options.checkpoint = {folder.path(), 1};
  Student broken = test::ternary_student(), resumed = test::ternary_student();
  TrainerCallbacks stopping{test::counting_sample, {}, {}, {}};
  stopping.on_step = [](const StepRecord& record) {
    if (record.step == 5) throw StopRequested("a test ends the run here");
  };
  EXPECT_THROW(run_training(comm, broken, nullptr, options, stopping), StopRequested);
  const auto result = run_training(comm, resumed, nullptr, options, {test::counting_sample, {}, {}, {}});
  EXPECT_EQ(result.resumed_from, 4);
  for (std::size_t i = 0; i < whole.parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(resumed.parameters()[i].master.detach(), whole.parameters()[i].master.detach()))
        << whole.parameters()[i].name;
  }
}

TEST(TrainingOnRanks, RefusesMoreRanksThanSequencesInAStep) {
  Communicator& comm = test::world();
  Student student = test::plain_student();
  TrainerOptions options = short_run(2);
  options.sequences_per_step = comm.size() - 1;
  EXPECT_THROW(run_training(comm, student, nullptr, options, {test::counting_sample, {}, {}, {}}), ConfigError);
}

}  // namespace
}  // namespace tercet
