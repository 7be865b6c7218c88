#include "tercet/train/trainer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "train/training_run.hpp"

namespace tercet {
namespace {

using test::Recorder;
using test::short_run;

TrainingResult train(Student& student, const TrainerOptions& options, const TrainerCallbacks& callbacks,
                     const Decoder* teacher = nullptr) {
  const auto comm = make_self_communicator();
  return run_training(*comm, student, teacher, options, callbacks);
}

void expect_same_masters(const Student& student, const std::vector<at::Tensor>& masters) {
  for (std::size_t i = 0; i < masters.size(); ++i) {
    EXPECT_TRUE(at::equal(student.parameters()[i].master.detach(), masters[i])) << student.parameters()[i].name;
  }
}

TEST(Training, OfATernaryModelOnTextLowersTheLossByAThird) {
  Student student = test::ternary_student();
  Recorder recorder;
  const TrainingResult result = train(student, short_run(40), recorder.callbacks());
  EXPECT_NEAR(result.first_loss, std::log(test::kTinyVocab), 0.3) << "a random model knows nothing";
  EXPECT_LT(result.last_loss, result.first_loss * 2 / 3);
  EXPECT_EQ(result.steps, 40);
  EXPECT_EQ(result.tokens, 40u * 8 * 16);
  ASSERT_EQ(recorder.steps.size(), 40u);
  EXPECT_EQ(recorder.steps.front().step, 1);
  EXPECT_EQ(recorder.steps.back().loss, result.last_loss);
  EXPECT_DOUBLE_EQ(recorder.steps[0].learning_rate, 0.5 * 5e-3);
}

TEST(Training, AgainstATeacherBringsTheStudentNearerToIt) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  Student student = test::ternary_student(1);
  Recorder recorder;
  TrainerOptions options = short_run(30);
  options.optimizer.learning_rate = 1e-3;
  options.optimizer.muon_learning_rate = 2e-3;
  const TrainingResult result = train(student, options, recorder.callbacks(), &teacher);
  EXPECT_GT(result.first_loss, 0);
  EXPECT_LT(result.last_loss, result.first_loss * 0.8);
  EXPECT_DOUBLE_EQ(recorder.steps[3].loss, recorder.steps[3].kl) << "distillation 1: the loss is the divergence";
}

// What a study compares with: the same training with nothing quantized.
TEST(Training, InFullPrecisionBeginsAtTheOriginalAndLearns) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  const auto first_kl = [&](const std::vector<ParameterPlan>& plan) {
    Student student(Decoder::random(test::tiny_config(), 1), plan);
    Recorder recorder;
    TrainerOptions options = short_run(20);
    options.distillation = 0.5;
    train(student, options, recorder.callbacks(), &teacher);
    EXPECT_LT(recorder.steps.back().cross_entropy, recorder.steps.front().cross_entropy);
    return recorder.steps.front().kl;
  };
  const double ternary = first_kl(test::ternary_plan(teacher));
  const double half = first_kl(std::vector<ParameterPlan>(teacher.parameters().size(), {FormatSpec{}, {}}));
  EXPECT_LT(std::abs(half), 1e-6);
  EXPECT_LT(std::abs(half), 1e-3 * ternary);
}

TEST(Training, WithTheHiddenLossBringsTheStreamsNearerThanWithout) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  std::vector<double> errors;
  for (const double weight : {0.0, 1e-6, 3.0}) {
    Student student = test::ternary_student(1);
    Recorder recorder;
    TrainerOptions options = short_run(30);
    options.optimizer.kind = "adamw";
    options.optimizer.learning_rate = 1e-3;
    options.hidden_loss = weight;
    train(student, options, recorder.callbacks(), &teacher);
    const StepRecord& last = recorder.steps.back();
    EXPECT_NEAR(last.loss, last.kl + weight * last.hidden, 1e-9);
    errors.push_back(last.hidden);
  }
  EXPECT_EQ(errors[0], 0) << "not measured when it does not count";
  EXPECT_GT(errors[1], 0);
  EXPECT_LT(errors[2], 0.9 * errors[1]);
}

TEST(Training, WeighsAttentionRelationsByTheNormOfTheirGradient) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  std::vector<double> divergences;
  for (const double share : {1e-6, 2.0}) {
    Student student = test::ternary_student(1);
    Recorder recorder;
    TrainerOptions options = short_run(30);
    options.optimizer.kind = "adamw";
    options.optimizer.learning_rate = 1e-3;
    options.relation_loss = share;
    train(student, options, recorder.callbacks(), &teacher);
    const StepRecord &first = recorder.steps.front(), &last = recorder.steps.back();
    const double weight = (first.loss - first.kl) / first.relation;
    EXPECT_NEAR(last.loss, last.kl + weight * last.relation, 1e-3 * last.loss) << "the weight stays";
    divergences.push_back(last.relation);
  }
  EXPECT_LT(divergences[1], 0.9 * divergences[0]);
}

// Gradients of norm 1 and r that point anywhere have a sum whose norm lies between |1 - r| and 1 + r.
TEST(Training, GivesAttentionRelationsTheShareOfTheGradientThatIsAskedFor) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 5);
  std::vector<double> norms;
  for (const double share : {0.0, 3.0}) {
    Student student = test::ternary_student();
    Recorder recorder;
    TrainerOptions options = short_run(1);
    options.relation_loss = share;
    options.relation_block = 2;
    train(student, options, recorder.callbacks(), &teacher);
    norms.push_back(recorder.steps.front().gradient_norm);
  }
  EXPECT_GE(norms[1], 2 * norms[0]);
  EXPECT_LE(norms[1], 4 * norms[0]);
}

TEST(Training, RefusesRelationsOfABlockThatThereIsNot) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 5);
  Student student = test::ternary_student();
  TrainerOptions options = short_run(1);
  options.relation_loss = 1;
  options.relation_block = 3;
  Recorder recorder;
  EXPECT_THROW(train(student, options, recorder.callbacks(), &teacher), ConfigError);
}

TEST(Training, WithTheHiddenLossTakesTheSameStepHoweverTheBatchIsCut) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 5);
  std::vector<double> losses, norms;
  for (const std::int64_t micro_batch : {2, 8}) {
    Student student = test::plain_student();
    Recorder recorder;
    TrainerOptions options = short_run(4);
    options.micro_batch = micro_batch;
    options.hidden_loss = 2;
    options.token_scaled_kl = true;
    options.distillation = 0.5;
    train(student, options, recorder.callbacks(), &teacher);
    losses.push_back(recorder.steps.back().loss);
    norms.push_back(recorder.steps.back().gradient_norm);
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-4);
  EXPECT_NEAR(norms[0], norms[1], 1e-3);
}

TEST(Training, IsSoftAtFirstAndHardAfterItsShareOfTheSteps) {
  Student student = test::ternary_student();
  TrainerOptions options = short_run(4);
  options.softening = 0.5;
  std::vector<bool> ternary;
  TrainerCallbacks callbacks{test::counting_sample};
  callbacks.on_step = [&](const StepRecord&) {
    const TrainedParameter& query = student.parameters()[2];
    ASSERT_EQ(query.role, Role::kQuery);
    const at::Tensor group = query.seen.detach()[0].slice(0, 0, 16).abs();
    const double largest = group.max().item<double>();
    ternary.push_back(group.eq(largest).logical_or(group.eq(0)).all().item<bool>());
  };
  train(student, options, callbacks);
  EXPECT_EQ(ternary, (std::vector<bool>{false, false, true, true}));
}

TEST(Training, SeesEverySampleOfItsStepsOnceInAnyMicroBatches) {
  for (const std::int64_t micro_batch : {1, 3, 8, 100}) {
    Student student = test::plain_student();
    Recorder recorder;
    TrainerOptions options = short_run(3);
    options.micro_batch = micro_batch;
    train(student, options, recorder.callbacks());
    EXPECT_EQ(recorder.sampled.size(), 24u) << micro_batch;
    EXPECT_EQ(*recorder.sampled.rbegin(), 23u) << micro_batch;
  }
}

TEST(Training, TakesTheSameStepHoweverTheBatchIsCut) {
  std::vector<double> losses, norms;
  for (const std::int64_t micro_batch : {2, 8}) {
    Student student = test::plain_student();
    Recorder recorder;
    TrainerOptions options = short_run(4);
    options.micro_batch = micro_batch;
    train(student, options, recorder.callbacks());
    losses.push_back(recorder.steps.back().loss);
    norms.push_back(recorder.steps.back().gradient_norm);
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-4);
  EXPECT_NEAR(norms[0], norms[1], 1e-3);
}

TEST(Training, StopsEarlyAndLeavesTheBestState) {
  Student student = test::ternary_student();
  Recorder recorder;
  TrainerCallbacks callbacks = recorder.callbacks();
  const std::vector<double> script{5.0, 4.0, 4.5, 4.2, 1.0};
  std::vector<at::Tensor> at_best;
  callbacks.held_out_loss = [&] {
    const std::size_t call = recorder.evaluations.size();
    if (call == 1) at_best = student.copy_masters();
    return script.at(call);
  };
  TrainerOptions options = short_run(20);
  options.evaluate_every = 2;
  options.patience = 2;
  const TrainingResult result = train(student, options, callbacks);
  EXPECT_TRUE(result.stopped_early);
  EXPECT_EQ(result.steps, 8);
  EXPECT_EQ(result.best_step, 4);
  EXPECT_EQ(result.best_held_out_loss, 4.0);
  EXPECT_EQ(recorder.evaluations.size(), 4u) << "a state is evaluated once";
  expect_same_masters(student, at_best);
  for (const TrainedParameter& parameter : student.parameters()) {
    const at::Tensor matrix = as_output_first(parameter.master.detach(), parameter.input_first);
    EXPECT_TRUE(at::equal(parameter.seen.detach(), dequantize(store(matrix, *parameter.spec)))) << parameter.name;
  }
}

TEST(Training, EvaluatesAtTheEndWhenNothingElseIsAskedFor) {
  Student student = test::plain_student();
  Recorder recorder;
  TrainerCallbacks callbacks = recorder.callbacks();
  callbacks.held_out_loss = [] { return 2.5; };
  const TrainingResult result = train(student, short_run(3), callbacks);
  ASSERT_EQ(recorder.evaluations.size(), 1u);
  EXPECT_EQ(recorder.evaluations[0].first, 3);
  EXPECT_EQ(result.best_held_out_loss, 2.5);
  EXPECT_FALSE(result.stopped_early);
}

struct Continued {
  std::vector<at::Tensor> masters;
  std::vector<double> losses;
  TrainingResult result;
};

// Twelve steps with checkpoints every four; with `interrupt_at` the run is broken off there and started again.
Continued run_twelve_steps(const std::filesystem::path& folder, std::int64_t interrupt_at,
                           TrainerOptions options = short_run(12)) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 5);
  options.checkpoint_every = 4;
  options.evaluate_every = 3;
  options.checkpoint = {folder, 2};
  Continued continued;
  for (const bool first : {true, false}) {
    if (first && interrupt_at == 0) continue;
    Student student = test::ternary_student();
    TrainerCallbacks callbacks{test::counting_sample};
    callbacks.held_out_loss = [&] { return student.parameters()[3].master.detach().abs().mean().item<double>(); };
    callbacks.on_step = [&](const StepRecord& record) {
      if (first && record.step == interrupt_at) throw StopRequested("a test ends the run here");
      if (!first) continued.losses.push_back(record.loss);
    };
    if (first) {
      EXPECT_THROW(train(student, options, callbacks, &teacher), StopRequested);
    } else {
      continued.result = train(student, options, callbacks, &teacher);
      continued.masters = student.copy_masters();
    }
  }
  return continued;
}

void expect_the_same_when_resumed(const TrainerOptions& options) {
  const test::ScratchFolder whole_folder, broken_folder;
  const Continued whole = run_twelve_steps(whole_folder.path(), 0, options);
  const Continued broken = run_twelve_steps(broken_folder.path(), 6, options);
  EXPECT_EQ(broken.result.resumed_from, 4);
  EXPECT_EQ(broken.result.steps, 12);
  ASSERT_EQ(broken.losses.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(broken.losses[i], whole.losses[i + 4]) << "step " << i + 5;
  for (std::size_t i = 0; i < whole.masters.size(); ++i) EXPECT_TRUE(at::equal(broken.masters[i], whole.masters[i]));
  EXPECT_EQ(broken.result.first_loss, whole.result.first_loss);
  EXPECT_EQ(broken.result.best_held_out_loss, whole.result.best_held_out_loss);
  EXPECT_EQ(broken.result.best_step, whole.result.best_step);
}

TEST(Training, ResumedFromACheckpointEqualsTheUninterruptedRunToTheBit) {
  TrainerOptions options = short_run(12);
  options.optimizer.grokfast_lambda = 0.5;
  expect_the_same_when_resumed(options);
}

TEST(Training, WithEveryOtherIngredientIsResumedToTheBit) {
  TrainerOptions options = short_run(12);
  options.optimizer.kind = "lion";
  options.optimizer.learning_rate = 1e-3;
  options.schedule.decay = "two_stage";
  options.hidden_loss = 1;
  options.relation_loss = 0.5;
  options.token_scaled_kl = true;
  options.softening = 0.7;
  expect_the_same_when_resumed(options);
}

TEST(Training, ReportsEachCheckpointWhetherWrittenBesideItOrNot) {
  for (const bool asynchronous : {true, false}) {
    const test::ScratchFolder folder;
    TrainerOptions options = short_run(6);
    options.checkpoint_every = 2;
    options.checkpoint = {folder.path(), 2, asynchronous};
    Student student = test::plain_student();
    std::vector<std::int64_t> steps;
    TrainerCallbacks callbacks{test::counting_sample, {}, {}, {}};
    callbacks.on_checkpoint = [&](const CheckpointReport& report) { steps.push_back(report.step); };
    const TrainingResult result = train(student, options, callbacks);
    EXPECT_EQ(steps, (std::vector<std::int64_t>{2, 4, 6}));
    EXPECT_EQ(result.checkpoints, 3);
    EXPECT_GT(result.checkpoint_stall_s, 0);
  }
}

TEST(Training, StartedAgainAfterItStoppedEarlyTakesNoMoreSteps) {
  const test::ScratchFolder folder;
  TrainerOptions options = short_run(20);
  options.evaluate_every = options.checkpoint_every = 2;
  options.patience = 1;
  options.checkpoint = {folder.path(), 2};
  std::vector<at::Tensor> masters;
  for (const bool first : {true, false}) {
    Student student = test::ternary_student();
    Recorder recorder;
    TrainerCallbacks callbacks = recorder.callbacks();
    double loss = 3;
    callbacks.held_out_loss = [&] { return loss += 0.5; };
    const TrainingResult result = train(student, options, callbacks);
    EXPECT_TRUE(result.stopped_early);
    EXPECT_EQ(result.steps, 4);
    EXPECT_EQ(result.best_step, 2);
    EXPECT_EQ(recorder.steps.size(), first ? 4u : 0u);
    EXPECT_EQ(recorder.evaluations.size(), first ? 2u : 0u);
    if (first) masters = student.copy_masters();
    expect_same_masters(student, masters);
  }
}

TEST(Training, DoesNotTakeUpACheckpointOfAnotherJob) {
  const test::ScratchFolder folder;
  TrainerOptions options = short_run(2);
  options.checkpoint_every = 1;
  options.checkpoint = {folder.path(), 2};
  const TrainerCallbacks callbacks{test::counting_sample};
  Student one = test::plain_student(), two = test::plain_student();
  train(one, options, callbacks);
  options.fingerprint = "another";
  EXPECT_EQ(train(two, options, callbacks).resumed_from, 0);
}

// Token 0 is poison: steps whose samples hold it have gradients that are not finite.
Student poisoned_student() {
  Student student = test::plain_student();
  const at::NoGradGuard no_grad;
  student.parameters()[0].master[0].fill_(std::numeric_limits<float>::quiet_NaN());
  return student;
}

std::vector<at::Tensor> masters_but_the_embedding(const Student& student) {
  std::vector<at::Tensor> masters = student.copy_masters();
  masters.erase(masters.begin());
  return masters;
}

TEST(Training, RefusesAStepThatIsNotFiniteAndGoesOn) {
  Student student = poisoned_student();
  const auto before = masters_but_the_embedding(student);
  std::vector<bool> moved;
  TrainerCallbacks callbacks;
  callbacks.sample = [](std::uint64_t index, std::span<std::int64_t> ids) {
    for (auto& id : ids) id = index < 16 ? 0 : 1 + static_cast<std::int64_t>(index % 7);  // two bad steps of 8
  };
  callbacks.on_step = [&](const StepRecord&) {
    const auto now = masters_but_the_embedding(student);
    bool any = false;
    for (std::size_t i = 0; i < now.size(); ++i) any = any || !at::equal(now[i], before[i]);
    moved.push_back(any);
  };
  train(student, short_run(4), callbacks);
  EXPECT_EQ(moved, (std::vector<bool>{false, false, true, true}));
}

TEST(Training, GivesUpAfterThreeStepsInARowThatAreNotFinite) {
  Student student = poisoned_student();
  const auto before = masters_but_the_embedding(student);
  int steps = 0;
  TrainerCallbacks callbacks;
  callbacks.sample = [](std::uint64_t, std::span<std::int64_t> ids) {
    for (auto& id : ids) id = 0;
  };
  callbacks.on_step = [&](const StepRecord&) { ++steps; };
  EXPECT_THROW(train(student, short_run(10), callbacks), NumericError);
  EXPECT_EQ(steps, 2);
  const auto after = masters_but_the_embedding(student);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(after[i], before[i]));
}

TEST(Training, CanResumeAfterAFirstStepThatWasRefused) {
  const test::ScratchFolder folder;
  TrainerOptions options = short_run(4);
  options.checkpoint_every = 1;
  options.checkpoint = {folder.path(), 2};
  for (const bool first : {true, false}) {
    Student student = poisoned_student();
    TrainerCallbacks callbacks;
    callbacks.sample = [](std::uint64_t index, std::span<std::int64_t> ids) {
      for (auto& id : ids) id = index < 8 ? 0 : 1 + static_cast<std::int64_t>(index % 7);
    };
    callbacks.on_step = [&](const StepRecord& record) {
      if (first && record.step == 3) throw StopRequested("a test ends the run here");
    };
    if (first) {
      EXPECT_THROW(train(student, options, callbacks), StopRequested);
    } else {
      EXPECT_EQ(train(student, options, callbacks).resumed_from, 2);
    }
  }
}

TEST(Training, InBfloat16FollowsTheSameLossRoughly) {
  std::vector<double> losses;
  for (const bool bfloat16 : {false, true}) {
    Student student = test::plain_student();
    TrainerOptions options = short_run(15);
    options.bfloat16 = bfloat16;
    losses.push_back(train(student, options, {test::counting_sample}).last_loss);
  }
  EXPECT_NEAR(losses[0], losses[1], 0.1 * losses[0]);
  EXPECT_NE(losses[0], losses[1]);
}

}  // namespace
}  // namespace tercet
