#include "tercet/train/scale_polish.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/quant/scale_gradient.hpp"
#include "train/training_run.hpp"

namespace tercet {
namespace {

bool is_polished(const TrainedParameter& parameter) {
  return is_block_linear(parameter.role);
}

std::vector<at::Tensor> copy_seen(const Student& student) {
  std::vector<at::Tensor> copies;
  for (const TrainedParameter& parameter : student.parameters()) copies.push_back(parameter.seen.detach().clone());
  return copies;
}

// Integers, with zero points or with mirrored scales, in a layout that stores the inputs first.
Student integer_student(bool symmetric) {
  Decoder decoder = Decoder::random(test::tiny_config(Family::kGpt2), 4);
  std::vector<ParameterPlan> plan = test::ternary_plan(decoder);
  for (ParameterPlan& entry : plan) {
    if (entry.spec->format != number_format("ternary")) continue;
    entry.spec->format = number_format("int3");
    entry.spec->rule = ScaleRule::kMinMax;
    entry.spec->symmetric = symmetric;
  }
  return Student(std::move(decoder), plan);
}

void expect_nothing_to_change(Student student) {
  const std::vector<at::Tensor> before = copy_seen(student);
  freeze_levels(student.parameters());
  student.requantize();
  const std::vector<at::Tensor> frozen = copy_seen(student);
  thaw_levels(student.parameters());
  const std::vector<at::Tensor> thawed = copy_seen(student);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(frozen[i], before[i])) << student.parameters()[i].name;
    EXPECT_TRUE(at::equal(thawed[i], before[i])) << student.parameters()[i].name;
    EXPECT_EQ(student.parameters()[i].master.sizes(), before[i].sizes());
  }
}

TEST(FrozenLevels, AndThawedOnesAreSeenAsBefore) {
  expect_nothing_to_change(test::ternary_student());
  expect_nothing_to_change(integer_student(true));
  expect_nothing_to_change(integer_student(false));
}

// d/ds of s (level - zero), by a small step of each scale.
TEST(ScaleGradient, IsThatOfTheSeenValuesBySmallSteps) {
  for (const Granularity granularity : {Granularity::kGroup, Granularity::kChannel, Granularity::kTensor}) {
    const FormatSpec spec{number_format("int3"), granularity, 16, ScaleRule::kMinMax, false};
    const at::Tensor weight = test::normal(1, {3, 32}), gradient = test::normal(2, {3, 32});
    const QuantizedMatrix matrix = quantize(weight, spec);
    const at::Tensor got = scale_gradient(gradient, matrix, spec).flatten();
    ASSERT_EQ(got.numel(), matrix.scales.numel());
    for (std::int64_t block = 0; block < got.numel(); ++block) {
      QuantizedMatrix moved = matrix;
      moved.scales = matrix.scales.clone();
      moved.scales.view({-1})[block] *= 2;  // exact in fp16, and so are the values
      const at::Tensor change = dequantize(moved, spec) - dequantize(matrix, spec);
      const double scale = matrix.scales.view({-1})[block].item<double>();
      const double expected = (change * gradient).sum(at::kDouble).item<double>() / scale;
      EXPECT_NEAR(got[block].item<double>(), expected, 0.02) << to_string(granularity) << " " << block;
    }
  }
}

TEST(ScalePolish, MovesScalesAloneTowardsTheTeacher) {
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  Student student = test::ternary_student(1);
  const std::vector<at::Tensor> before = copy_seen(student);
  freeze_levels(student.parameters());
  TrainerOptions options = test::short_run(30);
  options.optimizer.kind = "adamw";
  options.optimizer.learning_rate = 1e-3;
  const auto comm = make_self_communicator();
  const TrainingResult result = run_training(*comm, student, &teacher, options, {test::counting_sample});
  thaw_levels(student.parameters());
  EXPECT_LT(result.last_loss, 0.95 * result.first_loss);
  const std::vector<at::Tensor> after = copy_seen(student);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    EXPECT_TRUE(at::equal(after[i].sign(), before[i].sign())) << parameter.name;
    EXPECT_EQ(at::equal(after[i], before[i]), !is_polished(parameter)) << parameter.name;
    const StoredTensor stored = store(parameter.master.detach(), *parameter.spec, parameter.calibration);
    EXPECT_TRUE(at::equal(dequantize(stored), after[i])) << parameter.name;
  }
}

TEST(ScalePolish, IsResumedToTheBit) {
  const test::ScratchFolder folder;
  const Decoder teacher = Decoder::random(test::tiny_config(), 1);
  const auto comm = make_self_communicator();
  TrainerOptions options = test::short_run(8);
  options.optimizer.kind = "adamw";
  std::vector<std::vector<at::Tensor>> outcomes;
  for (const int attempt : {0, 1, 2}) {  // whole; broken off; resumed
    Student student = test::ternary_student(1);
    freeze_levels(student.parameters());
    TrainerCallbacks callbacks{test::counting_sample};
    callbacks.on_step = [&](const StepRecord& record) {
      if (attempt == 1 && record.step == 5) throw StopRequested("a test ends the run here");
    };
    options.checkpoint_every = attempt == 0 ? 0 : 2;
    options.checkpoint = {folder.path(), 2};
    try {
      const TrainingResult result = run_training(*comm, student, &teacher, options, callbacks);
      EXPECT_EQ(result.resumed_from, attempt == 2 ? 4 : 0);
    } catch (const StopRequested&) {
      continue;
    }
    thaw_levels(student.parameters());
    outcomes.push_back(copy_seen(student));
  }
  ASSERT_EQ(outcomes.size(), 2u);
  for (std::size_t i = 0; i < outcomes[0].size(); ++i) EXPECT_TRUE(at::equal(outcomes[0][i], outcomes[1][i]));
}

}  // namespace
}  // namespace tercet
