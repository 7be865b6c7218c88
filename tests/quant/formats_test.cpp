// What holds for every format on a grid, and what each of them promises.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "quant/blocks.hpp"
#include "quant/integer_grid.hpp"
#include "support/errors.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

struct Case {
  std::string format;
  bool symmetric;
};

class EveryGrid : public testing::TestWithParam<std::tuple<Case, Granularity, std::int64_t>> {
 protected:
  FormatSpec spec(ScaleRule rule) const {
    const auto& [which, by, columns] = GetParam();
    return {number_format(which.format), by, 32, rule, which.symmetric};
  }
  FormatSpec calibrated() const { return spec(ScaleRule::kCalibrated); }
  FormatSpec plain() const {
    return spec(number_format(std::get<0>(GetParam()).format)->counts_zeros() ? ScaleRule::kAbsmean
                                                                              : ScaleRule::kMinMax);
  }
  std::int64_t columns() const { return std::get<2>(GetParam()); }
  at::Tensor weight() const { return at::randn({9, columns()}) * 0.05 + 0.01; }
};
std::string name_of_case(const testing::TestParamInfo<EveryGrid::ParamType>& instance) {
  const auto& [which, by, columns] = instance.param;
  return which.format + (which.symmetric ? "_symmetric_" : "_asymmetric_") + to_string(by) + "_" +
         std::to_string(columns);
}

INSTANTIATE_TEST_SUITE_P(
    All, EveryGrid,
    testing::Combine(testing::Values(Case{"ternary", true}, Case{"ternary5", true}, Case{"int2", true},
                                     Case{"int2", false}, Case{"int3", true}, Case{"int3", false}, Case{"int4", true},
                                     Case{"int4", false}, Case{"int6", true}, Case{"int6", false}, Case{"int8", true},
                                     Case{"int8", false}),
                     testing::Values(Granularity::kTensor, Granularity::kChannel, Granularity::kGroup),
                     testing::Values(64, 43, 5, 1)),
    name_of_case);

TEST_P(EveryGrid, IsTrainedAsItIsStoredAndStoredAsItIsPromised) {
  const at::Tensor w = weight(), mean_square = at::rand({columns()}) + 0.01;
  for (const FormatSpec& spec : {plain(), calibrated()}) {
    const Calibration calibration = calibrate_format(w, spec, mean_square);
    const StoredTensor stored = store(w, spec, calibration);
    at::Tensor seen = at::zeros_like(w);
    fake_quantize(w, spec, calibration, seen);
    const at::Tensor values = dequantize(stored);
    EXPECT_TRUE(at::equal(seen, values));
    EXPECT_TRUE(at::equal(values, values.to(at::kHalf).to(at::kFloat)));
    EXPECT_TRUE(at::equal(storage_scales(w, spec, calibration), stored.scales));
    EXPECT_TRUE(at::equal(unpack_levels(stored), quantize(w, spec, calibration).levels));
    EXPECT_EQ(stored_bytes(stored), stored_bytes(unfilled(stored.shape, spec)));
    EXPECT_EQ(stored.zero_points.defined(), !spec.symmetric);
  }
}

TEST_P(EveryGrid, GivesTheSameBitsByExpressions) {
  if (number_format(std::get<0>(GetParam()).format)->counts_zeros()) GTEST_SKIP() << "ternary has its own test";
  const at::Tensor w = weight(), mean_square = at::rand({columns()}) + 0.01;
  for (const FormatSpec& spec : {plain(), calibrated()}) {
    const Calibration calibration = calibrate_format(w, spec, mean_square);
    const QuantizedMatrix host = quantize(w, spec, calibration);
    const QuantizedMatrix other =
        quant::to_grid_by_expressions(w, spec, spec.format->levels(spec.symmetric), calibration);
    EXPECT_TRUE(at::equal(host.levels, other.levels));
    EXPECT_TRUE(at::equal(host.scales, other.scales));
    if (!spec.symmetric) EXPECT_TRUE(at::equal(host.zero_points, other.zero_points));
  }
}

TEST_P(EveryGrid, CalibrationLowersTheWeightedErrorOfTheRange) {
  if (number_format(std::get<0>(GetParam()).format)->counts_zeros()) GTEST_SKIP() << "ternary has its own test";
  const at::Tensor w = weight(), mean_square = at::rand({columns()}) * 4 + 0.01;
  const auto error = [&](const FormatSpec& spec, const Calibration& calibration) {
    return ((w - dequantize(store(w, spec, calibration))).square() * mean_square).sum().item<double>();
  };
  EXPECT_LE(error(calibrated(), calibrate_format(w, calibrated(), mean_square)), error(plain(), {}) * 1.0001 + 1e-12);
}

TEST_P(EveryGrid, CanBePinnedToAnyLevelsAndScales) {
  const FormatSpec spec = calibrated();
  const LevelRange range = spec.format->levels(spec.symmetric);
  const at::Tensor reference = weight();
  const std::vector<std::int64_t> shape = scale_shape(9, columns(), spec);
  QuantizedMatrix wanted{at::randint(range.lowest, range.highest + 1, reference.sizes(), at::kChar),
                         (at::rand(shape) * 0.02 + 0.001).to(at::kHalf),
                         {}};
  if (!spec.symmetric) wanted.zero_points = at::randint(range.lowest, range.highest + 1, shape, at::kChar);
  if (spec.symmetric && range.lowest != -range.highest) wanted.scales.neg_();  // mirrored
  const PinnedMatrix pinned = pin(reference, wanted, spec, at::rand({columns()}) + 0.1);
  EXPECT_TRUE(at::equal(store(pinned.masters, spec, pinned.calibration).codes, pack(wanted, spec).codes));
  at::Tensor seen = at::zeros_like(reference);
  fake_quantize(pinned.masters, spec, pinned.calibration, seen);
  EXPECT_TRUE(at::equal(seen, dequantize(wanted, spec)));
}

TEST_P(EveryGrid, TakesZerosAndLargeNumbers) {
  const at::Tensor zeros = at::zeros({9, columns()});
  EXPECT_EQ(dequantize(store(zeros, plain())).abs().max().item<float>(), 0.0f);
  const StoredTensor large = store(weight() * 1e7, plain());
  EXPECT_TRUE(dequantize(large).isfinite().all().item<bool>() || plain().format->counts_zeros());
}

// Bits as docs/formats.md has them, read one by one.
std::vector<int> codes_by_bits(const StoredTensor& stored, std::int64_t row, int bits) {
  const auto* bytes = static_cast<const std::uint8_t*>(stored.codes[row].const_data_ptr());
  std::vector<int> codes;
  for (std::int64_t j = 0; j < stored.shape[1]; ++j) {
    int code = 0;
    for (std::int64_t k = 0; k < bits; ++k) code |= (bytes[(j * bits + k) / 8] >> (j * bits + k) % 8 & 1) << k;
    codes.push_back(code);
  }
  return codes;
}

TEST(IntegerFormats, AreReallyDense) {
  for (const int bits : {2, 3, 4, 6}) {
    const FormatSpec spec{number_format("int" + std::to_string(bits)), Granularity::kChannel, 0, ScaleRule::kMinMax};
    const StoredTensor stored = store(at::randn({3, 21}), spec);
    EXPECT_EQ(stored.codes.size(1), (21 * bits + 7) / 8);
    const at::Tensor levels = unpack_levels(stored);
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::vector<int> codes = codes_by_bits(stored, row, bits);
      for (std::int64_t j = 0; j < 21; ++j)
        EXPECT_EQ(codes[static_cast<std::size_t>(j)] - (1 << (bits - 1)), levels[row][j].item<int>()) << bits;
    }
  }
}

TEST(IntegerFormats, HaveTheDocumentedBytes) {
  // int3: levels -4, 3, 0, -1 are codes 0, 7, 4, 3: bits 000 111 001 110, lowest first -> 00111000, 00000111
  const FormatSpec spec{number_format("int3"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  const StoredTensor stored =
      pack({at::tensor({-4, 3, 0, -1}, at::kChar).view({1, 4}), at::ones({1, 1}, at::kHalf), {}}, spec);
  EXPECT_EQ(stored.codes[0][0].item<int>(), 0 | 7 << 3 | (4 & 3) << 6);
  EXPECT_EQ(stored.codes[0][1].item<int>(), 4 >> 2 | 3 << 1);
}

TEST(Ternary5, HoldsFiveTritsInAByte) {
  const FormatSpec spec{number_format("ternary5"), Granularity::kTensor};
  const at::Tensor trits = at::tensor({-1, 0, 1, 1, -1, 1, 0}, at::kChar).view({1, 7});
  const StoredTensor stored = pack({trits, at::ones({1}, at::kHalf), {}}, spec);
  EXPECT_EQ(stored.codes.size(1), 2);
  EXPECT_EQ(stored.codes[0][0].item<int>(), 0 + 1 * 3 + 2 * 9 + 2 * 27 + 0 * 81);
  EXPECT_EQ(stored.codes[0][1].item<int>(), 2 + 1 * 3);
  EXPECT_TRUE(at::equal(unpack_levels(stored), trits));
}

TEST(Ternary5, StandsForTheValuesOfTernary) {
  const at::Tensor weight = at::randn({6, 100});
  const FormatSpec two{number_format("ternary"), Granularity::kGroup, 32},
      five{number_format("ternary5"), Granularity::kGroup, 32};
  EXPECT_TRUE(at::equal(dequantize(store(weight, two)), dequantize(store(weight, five))));
  EXPECT_EQ(store(weight, five).codes.size(1), 20);
}

TEST(SymmetricIntegers, PutTheLoneLevelOnTheSideThatReachesFurther) {
  const FormatSpec spec{number_format("int2"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  // e = 2 -> s = -1: levels -2 .. 1 stand for 2 .. -1
  const StoredTensor up = store(at::tensor({2.0f, 1.0f, 0.0f, -1.0f}).view({1, 4}), spec);
  EXPECT_EQ(up.scales.item<float>(), -1.0f);
  EXPECT_TRUE(at::equal(dequantize(up).flatten(), at::tensor({2.0f, 1.0f, 0.0f, -1.0f})));
  const StoredTensor down = store(at::tensor({-2.0f, 1.0f, 0.0f, -1.0f}).view({1, 4}), spec);
  EXPECT_EQ(down.scales.item<float>(), 1.0f);
  EXPECT_TRUE(at::equal(dequantize(down).flatten(), at::tensor({-2.0f, 1.0f, 0.0f, -1.0f})));
}

TEST(AsymmetricIntegers, CutTheRangeOfTheBlock) {
  const FormatSpec spec{number_format("int2"), Granularity::kChannel, 0, ScaleRule::kMinMax, false};
  const StoredTensor stored = store(at::tensor({-0.5f, 0.0f, 0.5f, 1.0f}).view({1, 4}), spec);
  EXPECT_EQ(stored.scales.item<float>(), 0.5f);
  EXPECT_EQ(stored.zero_points.item<int>(), 1);  // the second of codes 0 to 3 is 0
  EXPECT_TRUE(at::equal(dequantize(stored).flatten(), at::tensor({-0.5f, 0.0f, 0.5f, 1.0f})));
}

TEST(Int8, OfARowIsWhatItAlwaysWas) {
  const at::Tensor weight = at::randn({5, 33}) * 0.3;
  const FormatSpec spec{number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  const StoredTensor stored = store(weight, spec);
  const at::Tensor scale = (weight.abs().amax(1, true) / 127.0f).clamp_min(6.2e-5f).to(at::kHalf);
  const at::Tensor codes = (weight / scale.to(at::kFloat)).round().clamp(-127, 127).to(at::kChar);
  EXPECT_TRUE(at::equal(stored.scales, scale));
  EXPECT_TRUE(at::equal(stored.codes, codes));
  EXPECT_TRUE(
      at::equal(dequantize(stored), (codes.to(at::kFloat) * scale.to(at::kFloat)).to(at::kHalf).to(at::kFloat)));
}

TEST(RoundToHalf, IsTheConversionOfEveryFp16AndOfWhatLiesBetween) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto here = static_cast<float>(c10::Half(static_cast<std::uint16_t>(bits), c10::Half::from_bits()));
    const auto next = static_cast<float>(c10::Half(static_cast<std::uint16_t>(bits + 1), c10::Half::from_bits()));
    if (!std::isfinite(next)) continue;
    for (const float x :
         {here, (here + next) / 2, std::nextafter((here + next) / 2, next), here * 0.3f + next * 0.7f}) {
      EXPECT_EQ(quant::round_to_half(x), static_cast<float>(c10::Half(x))) << x;
      EXPECT_EQ(quant::round_to_half(-x), static_cast<float>(c10::Half(-x))) << -x;
    }
  }
}

TEST(FixedScales, HoldWhateverTheWeightsBecome) {
  for (const std::string format : {"ternary", "int2", "int4"}) {
    const FormatSpec spec{number_format(format), Granularity::kGroup, 8, ScaleRule::kCalibrated};
    const at::Tensor weight = at::randn({4, 16});
    Calibration calibration;
    calibration.scales = at::full({4, 2}, 0.25);
    const StoredTensor stored = store(weight * 3, spec, calibration);
    EXPECT_EQ(stored.scales.to(at::kFloat).min().item<float>(), 0.25f);
    EXPECT_EQ(stored.scales.to(at::kFloat).max().item<float>(), 0.25f);
    const LevelRange range = spec.format->levels(true);
    EXPECT_TRUE(
        at::equal(unpack_levels(stored), (weight * 12).round().clamp(range.lowest, range.highest).to(at::kChar)));
    at::Tensor seen = at::zeros_like(weight);
    fake_quantize(weight * 3, spec, calibration, seen);
    EXPECT_TRUE(at::equal(seen, dequantize(stored)));
  }
}

TEST(Formats, RefuseSpecsThatMakeNoSense) {
  const at::Tensor weight = at::randn({4, 16});
  EXPECT_MENTIONS(test::message_of<DataError>([&] {
                    store(weight, {number_format("int4"), Granularity::kChannel, 0, ScaleRule::kAbsmean});
                  }),
                  "min_max");
  EXPECT_MENTIONS(test::message_of<DataError>([&] {
                    store(weight, {number_format("ternary"), Granularity::kChannel, 0, ScaleRule::kMinMax});
                  }),
                  "integers");
  EXPECT_MENTIONS(test::message_of<DataError>([&] {
                    store(weight, {number_format("ternary5"), Granularity::kChannel, 0, ScaleRule::kAbsmean, false});
                  }),
                  "zero point");
  EXPECT_MENTIONS(test::message_of<DataError>([&] {
                    store(weight[0], {number_format("int4"), Granularity::kChannel, 0, ScaleRule::kMinMax});
                  }),
                  "matrix");
}

}  // namespace
}  // namespace tercet
