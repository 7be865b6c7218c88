#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quant/blocks.hpp"
#include "quant/ternary.hpp"
#include "quant/trit_codes.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

FormatSpec ternary_spec(Granularity by, std::int64_t group = 128, ScaleRule rule = ScaleRule::kAbsmean) {
  return {number_format("ternary"), by, group, rule};
}

at::Tensor matrix(std::initializer_list<float> values, std::int64_t rows) {
  std::vector<float> copy(values);
  return at::from_blob(copy.data(), {rows, static_cast<std::int64_t>(copy.size()) / rows}, at::kFloat).clone();
}

TEST(Ternary, absmean_follows_the_formula_on_numbers_worked_by_hand) {
  // mean|w| = (0.4 + 0.1 + 0.9 + 0.2) / 4 = 0.4; w / 0.4 = 1, -0.25, 2.25, 0.5 -> 1, 0, 1, 0 (0.5 rounds to even)
  const QuantizedMatrix result = quantize(matrix({0.4f, -0.1f, 0.9f, 0.2f}, 1), ternary_spec(Granularity::kTensor));
  EXPECT_TRUE(at::equal(result.levels.to(at::kFloat), matrix({1, 0, 1, 0}, 1)));
  EXPECT_EQ(result.scales.item<float>(), static_cast<float>(c10::Half(0.4f)));
}

TEST(Ternary, least_squares_scale_is_the_mean_of_the_survivors) {
  const FormatSpec spec = ternary_spec(Granularity::kTensor, 0, ScaleRule::kLeastSquares);
  const QuantizedMatrix result = quantize(matrix({0.4f, -0.1f, -0.9f, 0.2f}, 1), spec);
  EXPECT_TRUE(at::equal(result.levels.to(at::kFloat), matrix({1, 0, -1, 0}, 1)));
  EXPECT_EQ(result.scales.item<float>(), static_cast<float>(c10::Half(0.65f)));
}

TEST(Ternary, scales_have_the_shape_of_their_granularity_and_a_short_last_group) {
  const at::Tensor weight = at::randn({6, 200});
  EXPECT_EQ(quantize(weight, ternary_spec(Granularity::kTensor)).scales.sizes(), at::IntArrayRef({1}));
  EXPECT_EQ(quantize(weight, ternary_spec(Granularity::kChannel)).scales.sizes(), at::IntArrayRef({6, 1}));
  EXPECT_EQ(quantize(weight, ternary_spec(Granularity::kGroup, 128)).scales.sizes(), at::IntArrayRef({6, 2}));
}

TEST(Ternary, the_largest_zero_says_what_dividing_by_the_mean_says) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float magnitudes[] = {0, 1e-42f, 1e-38f, 1e-5f, 0.0123f, 1, 3e5f, 3e38f, kInfinity};
  for (const float mean : {1e-5f, 0.0123f, 0.7f, 1.0f, 3e7f, 3e38f}) {
    for (const float threshold : {-1.0f, 0.0f, 1e-40f, 0.3f, 0.5f, 0.65f, 0.7f, 1.0f, 3e38f, kInfinity}) {
      const float limit = quant::largest_zero(mean, threshold);
      const float next = std::nextafter(limit, kInfinity);
      for (const float magnitude : magnitudes) EXPECT_EQ(magnitude > limit, magnitude / mean > threshold);
      EXPECT_EQ(limit >= 0, !(0 / mean > threshold));
      EXPECT_FALSE(limit >= 0 && limit / mean > threshold) << mean << " " << threshold;
      EXPECT_TRUE(limit < 0 || limit == kInfinity || next / mean > threshold) << mean << " " << threshold;
    }
  }
}

TEST(Ternary, an_all_zero_tensor_has_zero_trits_and_a_finite_scale) {
  const QuantizedMatrix result = quantize(at::zeros({4, 64}), ternary_spec(Granularity::kChannel));
  EXPECT_EQ(result.levels.abs().sum().item<std::int64_t>(), 0);
  EXPECT_TRUE(std::isfinite(result.scales[0].item<float>()));
}

TEST(Ternary, realistic_weights_do_not_lose_their_codes) {
  // The original cast scale * T to int8, which gave only zeros for weights around 0.02.
  const QuantizedMatrix result = quantize(at::randn({64, 256}) * 0.02, ternary_spec(Granularity::kGroup, 64));
  const double share = result.levels.abs().to(at::kDouble).mean().item<double>();
  EXPECT_GT(share, 0.6);
  EXPECT_LT(share, 0.75);  // 69 % of a normal distribution lies beyond half its mean magnitude
}

TEST(Ternary, calibrated_thresholds_minimise_the_weighted_error_among_the_candidates) {
  const FormatSpec spec = ternary_spec(Granularity::kGroup, 32, ScaleRule::kCalibrated);
  const at::Tensor weight = at::randn({8, 96});
  const at::Tensor mean_square = at::rand({96}) * 4 + 0.01;
  const Calibration best{quant::calibrate_thresholds(weight, spec, mean_square), mean_square, {}};
  const auto error = [&](const Calibration& calibration) {
    const QuantizedMatrix t = quantize(weight, spec, calibration);
    return ((weight - dequantize(t, spec)).square() * mean_square).sum().item<double>();
  };
  for (float threshold = 0.30f; threshold < 0.71f; threshold += 0.05f) {
    const Calibration other{at::full_like(best.thresholds, threshold), mean_square};
    EXPECT_LE(error(best), error(other) * 1.0005) << threshold;  // fp16 scales allow a small slack
  }
}

TEST(Ternary, column_weights_move_the_scale_towards_the_inputs_that_matter) {
  const FormatSpec spec = ternary_spec(Granularity::kTensor, 0, ScaleRule::kCalibrated);
  const QuantizedMatrix result = quantize(matrix({1.0f, 2.0f}, 1), spec, {{}, matrix({3.0f, 1.0f}, 1).squeeze(0)});
  EXPECT_EQ(result.scales.item<float>(), 1.25f);  // (3 * 1 + 1 * 2) / (3 + 1)
}

class EveryTernarySpec : public testing::TestWithParam<std::tuple<Granularity, ScaleRule, std::int64_t>> {};

TEST_P(EveryTernarySpec, host_loops_and_expressions_agree) {
  const auto [by, rule, columns] = GetParam();
  const FormatSpec spec = ternary_spec(by, 64, rule);
  const at::Tensor weight = at::randn({24, columns}) * 0.1;
  Calibration calibration;
  if (rule == ScaleRule::kCalibrated) {
    calibration.mean_square = at::rand({columns}) + 0.1;
    calibration.thresholds = quant::calibrate_thresholds(weight, spec, calibration.mean_square);
  }
  const QuantizedMatrix host = quantize(weight, spec, calibration);
  const QuantizedMatrix reference = quant::ternarize_by_expressions(weight, spec, calibration);
  EXPECT_TRUE(at::equal(host.levels, reference.levels));
  EXPECT_LE((host.scales.to(at::kFloat) - reference.scales.to(at::kFloat)).abs().max().item<float>(), 1.3e-4f);
}

TEST_P(EveryTernarySpec, packing_keeps_every_trit_and_training_sees_the_stored_values) {
  const auto [by, rule, columns] = GetParam();
  const FormatSpec spec = ternary_spec(by, 64, rule);
  const at::Tensor weight = at::randn({7, columns});
  const QuantizedMatrix ternary = quantize(weight, spec);
  const StoredTensor stored = pack(ternary, spec);
  EXPECT_TRUE(at::equal(unpack_levels(stored), ternary.levels));
  EXPECT_EQ(stored.codes.size(1), (columns + 3) / 4);
  EXPECT_EQ(stored_bytes(stored), stored_bytes(unfilled(stored.shape, spec)));
  EXPECT_TRUE(at::equal(storage_scales(weight, spec), stored.scales));
  at::Tensor seen = at::zeros_like(weight);
  fake_quantize(weight, spec, {}, seen);
  EXPECT_TRUE(at::equal(seen, dequantize(stored)));
}

// As the header says it: through levels.
void expect_store_is_quantize_and_pack(const at::Tensor& weight, const FormatSpec& spec) {
  const StoredTensor wanted = pack(quantize(weight, spec), spec);
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const StoredTensor stored = store(weight, spec);
    EXPECT_EQ(stored.shape, wanted.shape);
    EXPECT_TRUE(at::equal(stored.codes, wanted.codes)) << threads << " threads";
    EXPECT_TRUE(at::equal(stored.scales, wanted.scales)) << threads << " threads";
  }
  at::set_num_threads(1);
}

TEST(AbsmeanInOnePass, gives_the_bits_of_quantize_and_pack) {
  struct Shape {
    std::int64_t rows, columns;
  };
  for (const Shape& shape : {Shape{1, 1}, {3, 2}, {5, 7}, {16, 64}, {7, 172}, {33, 259}, {9, 1021}, {300, 1024}}) {
    for (const FormatSpec& spec : {ternary_spec(Granularity::kTensor), ternary_spec(Granularity::kChannel),
                                   ternary_spec(Granularity::kGroup, 64), ternary_spec(Granularity::kGroup, 4),
                                   ternary_spec(Granularity::kGroup, 6), ternary_spec(Granularity::kGroup, 100)}) {
      SCOPED_TRACE(std::to_string(shape.rows) + " x " + std::to_string(shape.columns) + " by " +
                   to_string(spec.granularity) + " of " + std::to_string(spec.group_size));
      expect_store_is_quantize_and_pack(at::randn({shape.rows, shape.columns}) * 0.02, spec);
      expect_store_is_quantize_and_pack(at::zeros({shape.rows, shape.columns}), spec);
      expect_store_is_quantize_and_pack(at::randn({shape.columns, shape.rows}).t(), spec);
      expect_store_is_quantize_and_pack(at::randn({shape.rows, shape.columns}).to(at::kBFloat16), spec);
    }
  }
}

// The threshold is where a division is rounded: half of the mean, and the floats around it.
TEST(AbsmeanInOnePass, decides_at_the_threshold_as_the_division_does) {
  for (int seed = 0; seed < 200; ++seed) {
    at::manual_seed(seed);
    const at::Tensor weight = at::randn({1, 64});
    float* values = weight.mutable_data_ptr<float>();
    for (int round = 0; round < 40; ++round) {  // the mean moves a little with each change
      const float half = weight.abs().to(at::kDouble).mean().item<float>() / 2;
      for (int i = 0; i < 8; ++i) {
        values[i] = std::copysign(half, i % 2 == 0 ? 1.0f : -1.0f);
        for (int steps = 0; steps < i / 2; ++steps) values[i] = std::nextafter(values[i], 2 * values[i]);
      }
    }
    expect_store_is_quantize_and_pack(weight, ternary_spec(Granularity::kTensor));
  }
}

TEST(AbsmeanInOnePass, writes_the_same_codes_by_loops) {
  for (const std::int64_t count : {1, 3, 31, 32, 33, 64, 100, 255, 256, 257, 1023}) {
    const at::Tensor weight = at::randn({count});
    std::vector<std::uint8_t> chosen(static_cast<std::size_t>((count + 3) / 4), 0xff), by_loops = chosen;
    quant::write_trit_codes(weight.const_data_ptr<float>(), count, 0.5f, chosen.data());
    quant::write_trit_codes_by_loops(weight.const_data_ptr<float>(), count, 0.5f, by_loops.data());
    EXPECT_EQ(chosen, by_loops) << count;
  }
}

TEST(AbsmeanInOnePass, takes_what_is_not_finite_as_quantize_does) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float odd : {inf, -inf, nan}) {
    at::Tensor weight = at::randn({4, 64});
    weight[1][7] = odd;
    for (const Granularity by : {Granularity::kTensor, Granularity::kChannel}) {
      const FormatSpec spec = ternary_spec(by);
      EXPECT_TRUE(at::equal(store(weight, spec).codes, pack(quantize(weight, spec), spec).codes)) << odd;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, EveryTernarySpec,
    testing::Combine(testing::Values(Granularity::kTensor, Granularity::kChannel, Granularity::kGroup),
                     testing::Values(ScaleRule::kAbsmean, ScaleRule::kLeastSquares, ScaleRule::kCalibrated),
                     testing::Values(64, 172, 192, 21)));

TEST(StoredTensor, code_layout_is_the_documented_one) {
  const FormatSpec spec = ternary_spec(Granularity::kTensor);
  const StoredTensor stored = pack({matrix({-1, 0, 1, 1, -1}, 1).to(at::kChar), at::ones({1}, at::kHalf)}, spec);
  EXPECT_EQ(stored.codes[0][0].item<int>(), 0 | 1 << 2 | 2 << 4 | 2 << 6);
  EXPECT_EQ(stored.codes[0][1].item<int>(), 0);
}

TEST(Errors, are_measured_relative_to_the_weight_and_by_column_weight) {
  const at::Tensor weight = matrix({3.0f, 4.0f}, 1);
  const at::Tensor off = matrix({0.0f, 4.0f}, 1);
  const ErrorMeasures measures = measure_error(weight, off, matrix({0.0f, 1.0f}, 1).squeeze(0));
  EXPECT_DOUBLE_EQ(measures.relative, 0.6);
  EXPECT_DOUBLE_EQ(measures.weighted_relative, 0.0);
  EXPECT_DOUBLE_EQ(measures.sparsity, 0.5);
}

TEST(Names, of_formats_are_read_back_and_unknown_ones_are_refused) {
  for (const NumberFormat* format : number_formats()) EXPECT_EQ(number_format(format->name()), format);
  EXPECT_THROW(number_format("int5"), DataError);
  EXPECT_EQ(scale_rule("least_squares"), ScaleRule::kLeastSquares);
  EXPECT_THROW(granularity("rows"), DataError);
}

}  // namespace
}  // namespace tercet
