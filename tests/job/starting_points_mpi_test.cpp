#include "job/starting_points.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
#include "tercet/quant/number_format.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

job::SolvingRun solving_run(bool sequential) {
  job::SolvingRun run;
  run.sequential = sequential;
  run.calibration.samples = 23;
  run.calibration.sequence_length = 12;
  run.calibration.shards = 7;
  run.calibration.batch = 2;
  run.calibration.second_moment = true;
  run.sample = test::counting_sample;
  return run;
}

struct Start {
  Decoder model;
  std::vector<ParameterPlan> plan;
  std::vector<LayerReport> reports;
};

std::vector<ParameterPlan> calibrated_plan(const Decoder& model) {
  std::vector<ParameterPlan> plan = test::ternary_plan(model);
  for (ParameterPlan& entry : plan) {
    if (entry.spec->format->is_grid()) entry.spec->rule = ScaleRule::kCalibrated;
  }
  return plan;
}

Start start(Communicator& comm, bool sequential, Family family = Family::kLlama) {
  Start result{Decoder::random(test::tiny_config(family), 1), {}, {}};
  result.model.set_activation_bits(8);
  result.plan = calibrated_plan(result.model);
  const job::SolvingRun run = solving_run(sequential);
  Decoder original = result.model.clone();
  const auto statistics = calibrate(comm, original, run.calibration, run.sample);
  result.reports = job::solve_starting_points(comm, run, statistics, result.model, result.plan);
  return result;
}

TEST(StartingPoints, HaveTheBitsOfOneRank) {
  const auto self = make_self_communicator();
  for (const bool sequential : {false, true}) {
    const Start alone = start(*self, sequential), together = start(test::world(), sequential);
    for (std::size_t i = 0; i < alone.plan.size(); ++i) {
      const std::string& name = alone.model.parameters()[i].name;
      EXPECT_TRUE(at::equal(alone.model.parameters()[i].value, together.model.parameters()[i].value)) << name;
      if (alone.plan[i].spec->format != number_format("ternary")) continue;
      EXPECT_TRUE(at::equal(alone.plan[i].calibration.thresholds, together.plan[i].calibration.thresholds)) << name;
      EXPECT_TRUE(at::equal(alone.plan[i].calibration.scale_factors, together.plan[i].calibration.scale_factors))
          << name;
    }
  }
}

TEST(StartingPoints, AreTheSameWhereWeightsAreStreamed) {
  const test::SharedScratchFolder scratch;
  for (const Family family : {Family::kLlama, Family::kGpt2}) {
    Start resident = start(test::world(), true, family);
    Start streamed{test::streamed(Decoder::random(test::tiny_config(family), 1)), {}, {}};
    streamed.model.set_activation_bits(8);
    streamed.plan = calibrated_plan(streamed.model);
    job::SolvingRun run = solving_run(true);
    run.folder = scratch.path() / to_string(family);
    streamed.reports = job::solve_starting_points(test::world(), run, {}, streamed.model, streamed.plan);
    for (std::size_t i = 0; i < resident.reports.size(); ++i) {
      EXPECT_EQ(to_json(streamed.reports.at(i)), to_json(resident.reports[i]));
    }
    const std::vector<ParameterPlan> plan = resident.plan, streamed_plan = streamed.plan;
    const Student expected(std::move(resident.model), plan), student(std::move(streamed.model), streamed_plan);
    for (std::size_t i = 0; i < plan.size(); ++i) {
      EXPECT_TRUE(at::equal(student.parameters()[i].full_master(), expected.parameters()[i].full_master()));
      EXPECT_TRUE(at::equal(values_of(student.decoder().parameters()[i]), expected.parameters()[i].seen.detach()))
          << expected.parameters()[i].name;
    }
  }
}

// tr((W - Q) X'X (W - Q)') of one layer with the inputs that the student itself gives it.
double loss_in(Student& student, const std::vector<Parameter>& original, std::size_t index) {
  const at::NoGradGuard no_grad;
  at::Tensor inputs;
  student.decoder().set_observer([&](std::size_t at, const at::Tensor& x) {
    if (at == index) inputs = x.to(at::kDouble);
  });
  student.decoder().forward(test::counting_batch(0, 23, 12));
  student.decoder().set_observer({});
  const TrainedParameter& parameter = student.parameters()[index];
  const at::Tensor lost = as_output_first(original[index].value - parameter.seen.detach(), parameter.input_first);
  return at::mm(inputs, lost.t().to(at::kDouble)).square().sum().item<double>();
}

class StartingPointsOf : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, StartingPointsOf, testing::Values(Family::kLlama, Family::kGpt2),
                         [](const auto& instance) { return to_string(instance.param); });

// The projections that read the last block's input (three, or one with GPT-2): it comes from the quantized first block
// when solved in sequence. Together, since the search of one alone may end in another local minimum.
TEST_P(StartingPointsOf, SolvedInSequenceSuitTheInputsOfTheQuantizedBlocksBefore) {
  const std::vector<Parameter> original = Decoder::random(test::tiny_config(GetParam()), 1).parameters();
  Start apart = start(test::world(), false, GetParam()), in_sequence = start(test::world(), true, GetParam());
  std::size_t index = 0;
  while (original[index].layer != 1 || !is_block_linear(original[index].role)) ++index;
  Student separate(std::move(apart.model), apart.plan), sequential(std::move(in_sequence.model), in_sequence.plan);
  double in_order = 0, at_once = 0;
  for (std::size_t i = index; i < index + (GetParam() == Family::kLlama ? 3 : 1); ++i) {
    in_order += loss_in(sequential, original, i);
    at_once += loss_in(separate, original, i);
  }
  EXPECT_LT(in_order, at_once);
}

// What training begins with, and what is packed without training, is what the solver found.
TEST_P(StartingPointsOf, AreWhatTheStudentSeesAtFirst) {
  Start result = start(test::world(), true, GetParam());
  const std::vector<Parameter> original = Decoder::random(test::tiny_config(GetParam()), 1).parameters();
  ASSERT_FALSE(result.reports.empty());
  double rounding = 0, solved = 0;
  for (const LayerReport& report : result.reports) {
    EXPECT_EQ(report.method, "compensated") << report.name;
    rounding += report.error_rounding;
    solved += report.error;
  }
  EXPECT_LT(solved, 0.8 * rounding);
  const std::vector<ParameterPlan> plan = result.plan;
  const Student student(std::move(result.model), plan);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    if (plan[i].spec->format != number_format("ternary")) continue;
    const at::Tensor master = as_output_first(parameter.master.detach(), parameter.input_first);
    const at::Tensor value = dequantize(store(master, *plan[i].spec, plan[i].calibration));
    EXPECT_TRUE(at::equal(as_output_first(parameter.seen.detach(), parameter.input_first), value)) << parameter.name;
    const at::Tensor weight = as_output_first(original[i].value, parameter.input_first);
    EXPECT_LT(measure_error(weight, value).relative, 1.0) << parameter.name;
  }
}

TEST(SolverRecord, NamesTheLayersThatFellBack) {
  LayerReport good, bad;
  good.name = "a";
  bad.name = "b";
  bad.fallback = "no factor";
  const nlohmann::json record = job::solver_record({good, bad});
  EXPECT_EQ(record.at("layers").size(), 2u);
  ASSERT_EQ(record.at("fallbacks").size(), 1u);
  EXPECT_EQ(record.at("fallbacks")[0].at("name"), "b");
}

}  // namespace
}  // namespace tercet
