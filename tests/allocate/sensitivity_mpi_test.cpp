#include "tercet/allocate/sensitivity.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <tuple>

#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
#include "tercet/quant/number_format.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

FormatSpec integer(const std::string& name) {
  return {number_format(name), Granularity::kGroup, 16, ScaleRule::kCalibrated};
}

SensitivityOptions options_for(Sensitivity measure, SolveMethod method) {
  SensitivityOptions options;
  options.measure = measure;
  options.solver.method = method;
  options.first_sample = 40;
  options.samples = 5;
  options.sequence_length = 12;
  options.batch = 2;
  return options;
}

// Every block linear and the embedding, in three formats.
std::vector<FreeLayer> free_layers(const Decoder& model) {
  std::vector<FreeLayer> layers;
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const Role role = model.parameters()[i].role;
    if (is_block_linear(role) || role == Role::kEmbedding || role == Role::kHead)
      layers.push_back({i, {integer("int2"), integer("int4"), FormatSpec{}}});
  }
  return layers;
}

struct Measured {
  Decoder model;
  std::vector<FreeLayer> layers;
  std::vector<std::vector<double>> losses;
};

Measured measure(Communicator& comm, const SensitivityOptions& options, Family family = Family::kLlama,
                 int activation_bits = 8) {
  Decoder model = Decoder::random(test::tiny_config(family), 1);
  CalibrationOptions calibration;
  calibration.samples = 23;
  calibration.sequence_length = 12;
  calibration.shards = 7;
  calibration.batch = 2;
  calibration.second_moment = true;
  const auto statistics = calibrate(comm, model, calibration, test::counting_sample);
  model.set_activation_bits(activation_bits);
  const std::vector<FreeLayer> layers = free_layers(model);
  auto losses = measure_sensitivities(comm, model, statistics, layers, options, test::counting_sample);
  return {std::move(model), layers, losses};
}

class SensitivityOf : public testing::TestWithParam<std::tuple<Sensitivity, SolveMethod>> {};
INSTANTIATE_TEST_SUITE_P(Both, SensitivityOf,
                         testing::Combine(testing::Values(Sensitivity::kKl, Sensitivity::kError),
                                          testing::Values(SolveMethod::kRounding, SolveMethod::kCompensated)));

TEST_P(SensitivityOf, HasTheBitsOfOneRankAndFallsWithMoreBits) {
  const auto self = make_self_communicator();
  const SensitivityOptions options = options_for(std::get<0>(GetParam()), std::get<1>(GetParam()));
  const auto alone = measure(*self, options), together = measure(test::world(), options);
  EXPECT_EQ(alone.losses, together.losses);
  int told = 0;
  for (std::size_t i = 0; i < alone.layers.size(); ++i) {
    const std::string& name = alone.model.parameters()[alone.layers[i].parameter].name;
    ASSERT_EQ(alone.losses[i].size(), 3u);
    EXPECT_LT(alone.losses[i][2], 1e-5) << name;  // fp16
    // Query and key of a random model change its predictions by less than fp32 can tell.
    if (alone.losses[i][0] < 1e-6) continue;
    ++told;
    EXPECT_GT(alone.losses[i][0], alone.losses[i][1]) << name;
    EXPECT_GT(alone.losses[i][1], alone.losses[i][2]) << name;
  }
  EXPECT_GE(told, 5);
}

// The definition, spelt out: one layer of a copy is replaced, both models predict all positions. Activations in fp32: a
// last bit can move one of int8 by a whole step.
double divergence(const Decoder& model, std::size_t index, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = test::counting_batch(40, 5, 12);
  Decoder changed = model.clone();
  changed.set_activation_bits(model.activation_bits());
  Parameter& parameter = changed.parameters()[index];
  parameter.value = parameter.input_first ? value.t().contiguous() : value;
  const at::Tensor p = at::log_softmax(model.forward(ids).to(at::kDouble), -1);
  const at::Tensor q = at::log_softmax(changed.forward(ids).to(at::kDouble), -1);
  return (p.exp() * (p - q)).sum().item<double>() / 60;
}

class KlOf : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, KlOf, testing::Values(Family::kLlama, Family::kGpt2, Family::kGptNeox),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(KlOf, OneLayerIsThatOfTheWholeModelWithThatLayerReplaced) {
  const Measured found = measure(test::world(), options_for(Sensitivity::kKl, SolveMethod::kRounding), GetParam(), 16);
  Decoder again = found.model.clone();
  CalibrationOptions calibration;
  calibration.samples = 23;
  calibration.sequence_length = 12;
  calibration.shards = 7;
  calibration.batch = 2;
  const auto statistics = calibrate(test::world(), again, calibration, test::counting_sample);
  for (std::size_t i = 0; i < found.layers.size(); ++i) {
    const Parameter& parameter = found.model.parameters()[found.layers[i].parameter];
    at::Tensor mean_square;
    for (const LayerStatistics& layer : statistics) {
      if (layer.parameter == found.layers[i].parameter) mean_square = layer.mean_square;
    }
    const at::Tensor weight = parameter.input_first ? parameter.value.t().contiguous() : parameter.value;
    Calibration scales = calibrate_format(weight, integer("int2"), mean_square);
    scales.mean_square = mean_square;
    const double expected =
        divergence(found.model, found.layers[i].parameter, dequantize(store(weight, integer("int2"), scales)));
    EXPECT_NEAR(found.losses[i][0], expected, 2e-3 * expected + 1e-7) << parameter.name;
  }
}

TEST(Sensitivity, IsTakenUpFromTheWorkLog) {
  const test::SharedScratchFolder folder;
  SensitivityOptions options = options_for(Sensitivity::kKl, SolveMethod::kRounding);
  std::vector<std::vector<double>> first;
  {
    WorkLog log(test::world(), folder.path(), "run");
    options.done = &log;
    first = measure(test::world(), options).losses;
  }
  WorkLog log(test::world(), folder.path(), "run");
  options.done = &log;
  options.first_sample = 4000;  // would give other figures if it were measured again
  EXPECT_EQ(measure(test::world(), options).losses, first);
}

}  // namespace
}  // namespace tercet
