#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "quant/ternary.hpp"
#include "tercet/quant/format.hpp"

namespace tercet {
namespace {

class PinBy : public testing::TestWithParam<std::tuple<Granularity, std::int64_t>> {
 protected:
  FormatSpec spec() const { return {number_format("ternary"), std::get<0>(GetParam()), 64, ScaleRule::kCalibrated}; }
  std::int64_t columns() const { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(All, PinBy,
                         testing::Combine(testing::Values(Granularity::kTensor, Granularity::kChannel,
                                                          Granularity::kGroup),
                                          testing::Values(64, 150, 21)));

// Trits that have nothing to do with the reference, and scales far from its size.
TEST_P(PinBy, MakesTheRuleGiveAnyTritsAndScales) {
  const at::Tensor reference = at::randn({12, columns()}) * 0.05;
  const at::Tensor mean_square = at::rand({columns()}) + 0.01;
  const QuantizedMatrix wanted{at::randint(-1, 2, reference.sizes(), at::kChar),
                               (at::rand(scale_shape(12, columns(), spec())) * 0.3 + 0.001).to(at::kHalf),
                               {}};
  const PinnedMatrix pinned = pin(reference, wanted, spec(), mean_square);
  const QuantizedMatrix host = quantize(pinned.masters, spec(), pinned.calibration);
  EXPECT_TRUE(at::equal(host.levels, wanted.levels));
  EXPECT_TRUE(at::equal(host.scales, wanted.scales));
  const QuantizedMatrix device = quant::ternarize_by_expressions(pinned.masters, spec(), pinned.calibration);
  EXPECT_TRUE(at::equal(device.levels, wanted.levels));
  EXPECT_TRUE(at::equal(device.scales, wanted.scales));
}

TEST_P(PinBy, LeavesWeightsThatRoundToTheirTritAlone) {
  const at::Tensor reference = at::randn({12, columns()}) * 0.05;
  const at::Tensor scales = at::full_like(at::zeros(scale_shape(12, columns(), spec())), 0.0625).to(at::kHalf);
  const at::Tensor trits = ((reference.abs() > 0.03125).to(at::kFloat) * reference.sign()).to(at::kChar);
  const PinnedMatrix pinned = pin(reference, {trits, scales, {}}, spec(), {});
  EXPECT_LE((pinned.masters - reference).abs().max().item<float>(), 0.03125f * 2e-3f);
  EXPECT_GT(pinned.masters.eq(reference).to(at::kFloat).mean().item<float>(), 0.97f);
}

TEST(Pin, KeepsAMatrixOfZerosZero) {
  const FormatSpec spec{number_format("ternary"), Granularity::kChannel, 0, ScaleRule::kCalibrated};
  const QuantizedMatrix wanted{at::zeros({2, 8}, at::kChar), at::full_like(at::zeros({2, 1}), 0.01).to(at::kHalf), {}};
  const PinnedMatrix pinned = pin(at::zeros({2, 8}), wanted, spec, {});
  EXPECT_TRUE(at::equal(quantize(pinned.masters, spec, pinned.calibration).scales, wanted.scales));
}

}  // namespace
}  // namespace tercet
