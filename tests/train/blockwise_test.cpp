#include "tercet/train/blockwise.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "train/training_run.hpp"

namespace tercet {
namespace {

BlockwiseOptions short_tuning() {
  BlockwiseOptions options = test::short_tuning(20);
  options.optimizer.learning_rate = 2e-3;
  return options;
}

std::vector<BlockReport> tune(Student& student, const Decoder& original, const BlockwiseOptions& options) {
  const auto comm = make_self_communicator();
  BlockwiseCallbacks callbacks;
  callbacks.sample = test::counting_sample;
  return tune_blocks(*comm, student, original, options, callbacks);
}

TEST(BlockTuning, BringsTheOutputsOfEachBlockNearerToTheOriginals) {
  for (const Family family : {Family::kLlama, Family::kGpt2, Family::kGptNeox}) {
    const Decoder original = Decoder::random(test::tiny_config(family), 1);
    Student student = test::ternary_student(1, family);
    const std::vector<BlockReport> reports = tune(student, original, short_tuning());
    ASSERT_EQ(reports.size(), 2u);
    for (const BlockReport& report : reports) {
      EXPECT_GT(report.error_before, 0) << report.block;
      EXPECT_LT(report.error_after, 0.9 * report.error_before)
          << "block " << report.block << " of " << to_string(family);
      EXPECT_EQ(report.steps, 40);
    }
  }
}

TEST(BlockTuning, GoesByTheStreamThatAWholeForwardPassHas) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  const at::Tensor ids = test::counting_batch(0, 2, 16);
  at::Tensor stream = original.embed(ids);
  for (int block = 0; block < 2; ++block) stream = original.block(block, stream);
  // The final norm of a model that was drawn has weights of one.
  const at::Tensor rms = stream.square().mean(-1, true).add(original.config().norm_epsilon).rsqrt();
  EXPECT_TRUE(at::allclose(stream * rms, original.hidden_states(ids), 1e-4, 1e-5));
}

TEST(BlockTuning, LeavesAloneWhatItCannotImprove) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  Student student = test::plain_student(1);
  const std::vector<at::Tensor> masters = student.copy_masters();
  for (const BlockReport& report : tune(student, original, short_tuning())) {
    EXPECT_EQ(report.error_before, 0);
    EXPECT_EQ(report.error_after, 0);
  }
  for (std::size_t i = 0; i < masters.size(); ++i) {
    EXPECT_TRUE(at::equal(student.parameters()[i].master.detach(), masters[i])) << student.parameters()[i].name;
  }
}

// How far the masters move in one step of 1e-4, which is as long as AdamW's step size wherever there is a gradient:
// those of `role` in the first block.
double moved_by_one_step(const std::vector<ParameterPlan>& plan, Role role) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  BlockwiseOptions options = test::short_tuning(1);
  options.samples = options.sequences_per_step;
  options.optimizer.learning_rate = 1e-4;
  Student student(Decoder::random(test::tiny_config(), 1), plan);
  const std::vector<at::Tensor> before = student.copy_masters();
  EXPECT_EQ(tune(student, original, options).front().steps, 1);
  double longest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (student.parameters()[i].role != role || student.decoder().parameters()[i].layer != 0) continue;
    const at::Tensor moved = (student.parameters()[i].master.detach() - before[i]).abs();
    longest = std::max(longest, moved.max().item<double>());
  }
  return longest;
}

TEST(BlockTuning, TakesSmallerStepsOnFinerGrids) {
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  const double int4 = std::pow(3.0 / 15, 1.5), int8 = std::pow(3.0 / 254, 1.5);
  const auto ternary = test::plan_of(model, "ternary");
  EXPECT_NEAR(moved_by_one_step(ternary, Role::kQuery), 1e-4, 2e-7);
  EXPECT_NEAR(moved_by_one_step(ternary, Role::kNorm), 1e-4, 2e-7);
  EXPECT_NEAR(moved_by_one_step(test::plan_of(model, "int2", ScaleRule::kMinMax), Role::kQuery), 1e-4, 2e-7);
  const auto fine = test::plan_of(model, "int4", ScaleRule::kMinMax);
  EXPECT_NEAR(moved_by_one_step(fine, Role::kQuery), 1e-4 * int4, 2e-8);
  EXPECT_NEAR(moved_by_one_step(fine, Role::kNorm), 1e-4 * int4, 2e-7);
  auto mixed = ternary;
  const auto eight_bits = test::plan_of(model, "int8", ScaleRule::kMinMax);
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    if (model.parameters()[i].role == Role::kDown) mixed[i] = eight_bits[i];
  }
  EXPECT_NEAR(moved_by_one_step(mixed, Role::kQuery), 1e-4, 2e-7);
  EXPECT_NEAR(moved_by_one_step(mixed, Role::kNorm), 1e-4, 2e-7);
  EXPECT_NEAR(moved_by_one_step(mixed, Role::kDown), 1e-4 * int8, 2e-8);
}

TEST(BlockTuning, TouchesNothingOutsideTheBlocks) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  Student student = test::ternary_student(1);
  const std::vector<at::Tensor> masters = student.copy_masters();
  tune(student, original, short_tuning());
  for (std::size_t i = 0; i < masters.size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    EXPECT_FALSE(parameter.seen.grad().defined()) << parameter.name;
    if (student.decoder().parameters()[i].layer >= 0) continue;
    EXPECT_TRUE(at::equal(parameter.master.detach(), masters[i])) << parameter.name;
  }
}

void expect_to_go_on(BlockwiseOptions options) {
  const test::ScratchFolder scratch;
  const auto comm = make_self_communicator();
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  std::vector<at::Tensor> masters;
  std::vector<BlockReport> first, second;
  for (std::vector<BlockReport>* reports : {&first, &second}) {
    WorkLog log(*comm, scratch.path() / "work", "a test");
    options.done = &log;
    Student student = test::ternary_student(1);
    *reports = tune(student, original, options);
    if (masters.empty()) masters = student.copy_masters();
    for (std::size_t i = 0; i < masters.size(); ++i) {
      EXPECT_TRUE(at::equal(student.parameters()[i].master.detach(), masters[i])) << student.parameters()[i].name;
    }
  }
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(second[i].steps, 0);
    EXPECT_EQ(second[i].error_after, first[i].error_after);
  }
}

TEST(BlockTuning, GoesOnAfterTheBlocksThatAnEarlierAttemptFinished) {
  expect_to_go_on(short_tuning());
  BlockwiseOptions everything = test::short_tuning(4);
  everything.window = 2;
  everything.by_parts = true;
  everything.softening = 0.5;
  everything.scale_epochs = 2;
  expect_to_go_on(everything);
}

// Each way of tuning, by what it changes in the options.
struct Variant {
  const char* name;
  void (*choose)(BlockwiseOptions&);
  std::int64_t steps;  // of the first block, at 20 epochs of two steps
};
const Variant kVariants[] = {
    {"window", [](BlockwiseOptions& options) { options.window = 2; }, 40},
    {"by parts", [](BlockwiseOptions& options) { options.by_parts = true; }, 120},
    {"softened", [](BlockwiseOptions& options) { options.softening = 0.5; }, 40},
    {"scales",
     [](BlockwiseOptions& options) {
       options.scale_epochs = 10;
       options.scale_learning_rate = 1e-3;
     },
     60},
};

TEST(BlockTuning, BringsTheModelNearerToTheOriginalInEveryVariant) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  const at::Tensor ids = test::counting_batch(0, 4, 16);
  const auto distance = [&](const Student& student) {
    return (student.decoder().hidden_states(ids) - original.hidden_states(ids)).square().sum().item<double>();
  };
  for (const Variant& variant : kVariants) {
    BlockwiseOptions options = short_tuning();
    variant.choose(options);
    Student student = test::ternary_student(1);
    const double before = distance(student);
    const std::vector<BlockReport> reports = tune(student, original, options);
    EXPECT_LT(distance(student), 0.9 * before) << variant.name;
    EXPECT_EQ(reports.front().steps, variant.steps) << variant.name;
  }
}

// What is packed is what was tuned, also where the scales are fixed.
TEST(BlockTuning, LeavesMastersThatStandForWhatIsSeen) {
  const Decoder original = Decoder::random(test::tiny_config(Family::kGpt2), 1);
  for (const Variant& variant : kVariants) {
    BlockwiseOptions options = short_tuning();
    variant.choose(options);
    Student student = test::ternary_student(1, Family::kGpt2);
    tune(student, original, options);
    for (const TrainedParameter& parameter : student.parameters()) {
      const at::Tensor matrix = as_output_first(parameter.master.detach(), parameter.input_first);
      const at::Tensor stored = dequantize(store(matrix, *parameter.spec, parameter.calibration));
      EXPECT_TRUE(at::equal(as_output_first(stored, parameter.input_first), parameter.seen.detach()))
          << variant.name << " " << parameter.name;
      EXPECT_TRUE(parameter.trained);
    }
  }
}

TEST(BlockTuning, FixesTheScalesThatItTuned) {
  const Decoder original = Decoder::random(test::tiny_config(), 1);
  BlockwiseOptions options = short_tuning();
  options.scale_epochs = 2;
  Student student = test::ternary_student(1);
  tune(student, original, options);
  for (const TrainedParameter& parameter : student.parameters()) {
    EXPECT_EQ(parameter.calibration.scales.defined(), is_block_linear(parameter.role)) << parameter.name;
  }
}

}  // namespace
}  // namespace tercet
