#include "tercet/calib/calibrate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

CalibrationOptions small_options() {
  CalibrationOptions options;
  options.samples = 13;
  options.sequence_length = 10;
  options.shards = 5;
  options.batch = 2;
  options.second_moment = true;
  return options;
}

std::vector<LayerStatistics> calibrate_alone(Decoder& model, const CalibrationOptions& options) {
  const auto comm = make_self_communicator();
  return calibrate(*comm, model, options, test::counting_sample);
}

// Every input of every linear layer, from one pass over all the sequences at once.
std::map<std::size_t, at::Tensor> inputs_of(Decoder& model, const CalibrationOptions& options) {
  const at::NoGradGuard no_grad;
  std::map<std::size_t, at::Tensor> inputs;
  model.set_observer([&](std::size_t index, const at::Tensor& input) { inputs[index] = input.to(at::kDouble); });
  model.forward(test::counting_batch(0, options.samples, options.sequence_length));
  model.set_observer({});
  return inputs;
}

class CalibrateFamily : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, CalibrateFamily, ::testing::Values(Family::kLlama, Family::kGpt2),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(CalibrateFamily, MeasuresTheInputsOfEveryLinearInTheBlocks) {
  Decoder model = Decoder::random(test::tiny_config(GetParam()), 1);
  const CalibrationOptions options = small_options();
  const auto statistics = calibrate_alone(model, options);
  const auto inputs = inputs_of(model, options);
  std::size_t linears = 0;
  for (const Parameter& parameter : model.parameters()) linears += is_block_linear(parameter.role) ? 1 : 0;
  ASSERT_EQ(statistics.size(), linears);
  for (const LayerStatistics& layer : statistics) {
    const at::Tensor& x = inputs.at(layer.parameter);
    EXPECT_EQ(layer.name, model.parameters()[layer.parameter].name);
    EXPECT_EQ(layer.count, options.samples * options.sequence_length) << layer.name;
    EXPECT_NEAR(layer.absmax, x.abs().max().item<double>(), 1e-5 * layer.absmax) << layer.name;
    EXPECT_TRUE(at::allclose(layer.mean_square.to(at::kDouble), x.square().mean(0), 1e-4, 1e-12)) << layer.name;
    const double scale = x.square().sum(0).max().item<double>();
    EXPECT_TRUE(at::allclose(layer.second_moment, at::mm(x.t(), x), 1e-4, 1e-5 * scale)) << layer.name;
  }
}

TEST(Calibrate, MeasuresTheWeights) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  at::Tensor& weight = test::find_parameter(model, "model.layers.0.mlp.up_proj.weight").value;
  weight = at::full({64, 32}, 0.5);
  weight.slice(0, 0, 16).neg_();  // a quarter -0.5: mean 0.25, variance 0.1875
  // E(w - mean)^4 = 0.25 * 0.75^4 + 0.75 * 0.25^4 = 0.08203125; kurtosis 0.08203125 / 0.1875^2 = 2.3333
  for (const LayerStatistics& layer : calibrate_alone(model, small_options())) {
    if (layer.name != "model.layers.0.mlp.up_proj.weight") continue;
    EXPECT_DOUBLE_EQ(layer.weight_absmean, 0.5);
    EXPECT_DOUBLE_EQ(layer.weight_absmax, 0.5);
    EXPECT_NEAR(layer.weight_kurtosis, 7.0 / 3.0, 1e-12);
  }
}

TEST(Calibrate, OfOneBlockGivesItsLayersOfTheWhole) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  CalibrationOptions options = small_options();
  const auto whole = calibrate_alone(model, options);
  for (const int block : {0, 1}) {
    options.block = block;
    const auto part = calibrate_alone(model, options);
    ASSERT_EQ(part.size(), 7u);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const LayerStatistics& same = whole[static_cast<std::size_t>(block) * 7 + i];
      EXPECT_EQ(part[i].name, same.name);
      EXPECT_EQ(part[i].count, same.count) << same.name;
      EXPECT_TRUE(at::equal(part[i].second_moment, same.second_moment)) << same.name;
    }
  }
}

TEST(Calibrate, LeavesTheSecondMomentsOutUnlessAsked) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  CalibrationOptions options = small_options();
  options.second_moment = false;
  for (const LayerStatistics& layer : calibrate_alone(model, options)) EXPECT_FALSE(layer.second_moment.defined());
}

TEST(Calibrate, RefusesAModelWithNotANumberByTheLayersNameAndStopsObserving) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  test::find_parameter(model, "model.layers.1.input_layernorm.weight").value[0] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_MENTIONS(test::message_of<NumericError>([&] { calibrate_alone(model, small_options()); }),
                  "model.layers.1.self_attn.q_proj.weight");
  model.forward(test::counting_batch(0, 1, 8));  // an observer of the calibration that is gone would crash or throw
}

TEST(Calibrate, RefusesMoreShardsThanSamples) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  CalibrationOptions options = small_options();
  options.samples = options.shards - 1;
  EXPECT_THROW(calibrate_alone(model, options), ConfigError);
}

}  // namespace
}  // namespace tercet
