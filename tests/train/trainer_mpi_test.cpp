#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
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
  run_training(comm, student, nullptr, short_run(5), {test::counting_sample});
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

// A student whose token 0 is poison, fed to one sequence of each step from `first` on while `active`.
struct Poison {
  std::int64_t first = 0;
  bool active = true;
  std::vector<BadStep> bad = {};

  Student student() const {
    Student student = test::plain_student();
    student.parameters()[0].master.detach()[0].fill_(std::numeric_limits<float>::quiet_NaN());
    return student;
  }
  TrainerCallbacks callbacks() {
    TrainerCallbacks result;
    result.sample = [this](std::uint64_t index, std::span<std::int64_t> ids) {
      const bool poisoned = active && static_cast<std::int64_t>(index) >= 8 * first && index % 8 == 0;
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = poisoned ? 0 : 1 + static_cast<std::int64_t>(i % 7);
    };
    result.on_bad_step = [this](const BadStep& step) { bad.push_back(step); };
    return result;
  }
};

TrainerOptions with_checkpoints(TrainerOptions options, const std::filesystem::path& folder) {
  options.checkpoint_every = 2;
  options.checkpoint = {folder, 2};
  return options;
}

TEST(TrainingOnRanks, ABadStepIsLeftOutAndNamesTheRankAndTheSequences) {
  Poison poison{3};
  Student student = poison.student();
  TrainerCallbacks callbacks = poison.callbacks();
  callbacks.on_step = [&](const StepRecord& record) { poison.active = record.step < 4; };
  const TrainingResult result = run_training(test::world(), student, nullptr, short_run(6), callbacks);
  EXPECT_EQ(result.steps, 6);
  ASSERT_EQ(poison.bad.size(), 1u);
  EXPECT_EQ(poison.bad[0].step, 4);
  EXPECT_EQ(poison.bad[0].ranks, std::vector<int>{0});
  EXPECT_EQ(poison.bad[0].first_sequence, 24u);
  EXPECT_EQ(poison.bad[0].sequences, 8u);
  EXPECT_EQ(poison.bad[0].consequence, "left out");
}

TEST(TrainingOnRanks, ThreeBadStepsGoBackToTheCheckpointWithHalfTheStep) {
  const test::SharedScratchFolder folder;
  Poison poison{4};
  Student student = poison.student();
  TrainerCallbacks callbacks = poison.callbacks();
  std::map<std::int64_t, double> rates;
  callbacks.on_step = [&](const StepRecord& record) { rates[record.step] = record.learning_rate; };
  callbacks.on_bad_step = [&](const BadStep& step) {
    poison.bad.push_back(step);
    if (step.consequence == "back to step 4") poison.active = false;
  };
  TrainerOptions options = with_checkpoints(short_run(10), folder.path());
  options.schedule = {10, 0, "constant", 1.0};
  const TrainingResult result = run_training(test::world(), student, nullptr, options, callbacks);
  EXPECT_EQ(result.rollbacks, 1);
  EXPECT_EQ(result.steps, 10);
  ASSERT_EQ(poison.bad.size(), 3u);
  EXPECT_EQ(poison.bad[2].consequence, "back to step 4");
  EXPECT_DOUBLE_EQ(rates.at(4), 5e-3);
  EXPECT_DOUBLE_EQ(rates.at(5), 2.5e-3);
  EXPECT_DOUBLE_EQ(rates.at(10), 2.5e-3);
}

TEST(TrainingOnRanks, AfterTwoReturnsItGivesUpWithTheEvidence) {
  const test::SharedScratchFolder folder;
  Poison poison{4};
  Student student = poison.student();
  EXPECT_THROW(
      run_training(test::world(), student, nullptr, with_checkpoints(short_run(20), folder.path()), poison.callbacks()),
      NumericError);
  ASSERT_FALSE(poison.bad.empty());
  EXPECT_EQ(poison.bad.back().consequence, "stopped");
}

TEST(TrainingOnRanks, ARunThatIsCompleteIsNotTrainedAgain) {
  const test::SharedScratchFolder folder;
  const TrainerOptions options = with_checkpoints(short_run(5), folder.path());
  Student first = test::ternary_student(), second = test::ternary_student();
  run_training(test::world(), first, nullptr, options, {test::counting_sample});
  TrainerCallbacks none;
  none.sample = [](std::uint64_t, std::span<std::int64_t>) { throw std::logic_error("no sample is needed"); };
  const TrainingResult again = run_training(test::world(), second, nullptr, options, none);
  EXPECT_EQ(again.resumed_from, 5);
  for (std::size_t i = 0; i < first.parameters().size(); ++i) {
    EXPECT_TRUE(at::equal(first.parameters()[i].master.detach(), second.parameters()[i].master.detach()));
  }
}

TEST(TrainingOnRanks, ResumesToTheBit) {
  Communicator& comm = test::world();
  const test::SharedScratchFolder folder;
  TrainerOptions options = short_run(6);
  Student whole = test::ternary_student();
  run_training(comm, whole, nullptr, options, {test::counting_sample});
  options.checkpoint_every = 2;
  options.checkpoint = {folder.path(), 1};
  Student broken = test::ternary_student(), resumed = test::ternary_student();
  TrainerCallbacks stopping{test::counting_sample};
  stopping.on_step = [](const StepRecord& record) {
    if (record.step == 5) throw StopRequested("a test ends the run here");
  };
  EXPECT_THROW(run_training(comm, broken, nullptr, options, stopping), StopRequested);
  const auto result = run_training(comm, resumed, nullptr, options, {test::counting_sample});
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
  EXPECT_THROW(run_training(comm, student, nullptr, options, {test::counting_sample}), ConfigError);
}

}  // namespace
}  // namespace tercet
