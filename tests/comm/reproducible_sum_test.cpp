#include "tercet/comm/reproducible_sum.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

TEST(FixedPointGrid, ExponentLeavesSixtyBitsBelowTheBound) {
  EXPECT_EQ(FixedPointGrid(1.0).exponent(), 1 - 60);  // 1 < 2^1
  EXPECT_EQ(FixedPointGrid(0.75).exponent(), 0 - 60);
  EXPECT_EQ(FixedPointGrid(1000.0).exponent(), 10 - 60);
}

TEST(FixedPointGrid, AWholeSumAtTwiceTheBoundDoesNotOverflow) {
  const double bound = std::nextafter(4.0, 0.0);  // the largest bound of its exponent: the worst case
  const FixedPointGrid grid(bound);
  std::array<std::int64_t, 1> sum{};
  for (const double part : {bound, bound}) grid.add(std::array{part}, sum);
  EXPECT_LT(sum[0], std::int64_t{1} << 61);
  EXPECT_DOUBLE_EQ(grid.values(sum)[0], 2 * bound);
}

TEST(FixedPointGrid, RoundsHalfToEvenInSpansAndTensorsAlike) {
  const FixedPointGrid grid(1.0);
  const double quantum = std::ldexp(1.0, grid.exponent());
  const std::array<double, 5> parts = {0.5 * quantum, 1.5 * quantum, -0.5 * quantum, 2.5 * quantum, 0.75 * quantum};
  std::array<std::int64_t, 5> sums{};
  grid.add(parts, sums);
  EXPECT_EQ(sums, (std::array<std::int64_t, 5>{0, 2, 0, 2, 1}));

  at::Tensor tensor = at::zeros({5}, at::kDouble);
  std::copy(parts.begin(), parts.end(), tensor.mutable_data_ptr<double>());
  const at::Tensor accumulators = at::zeros({5}, at::kLong);
  grid.add(tensor, accumulators);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(accumulators.const_data_ptr<std::int64_t>()[i], sums[i]);
}

TEST(FixedPointGrid, TensorsLargerThanAPieceAndOfFloat32AreAdded) {
  const std::int64_t size = 200'003;  // four pieces, the last one short
  const at::Tensor partial = at::arange(size, at::kFloat);
  ReproducibleSum sum({size}, 2.0 * static_cast<double>(size));
  sum.add(partial);
  sum.add(partial);
  const at::Tensor values = sum.values();
  for (std::int64_t i = 0; i < size; i += 997) EXPECT_EQ(values.const_data_ptr<double>()[i], 2.0 * double(i));
}

TEST(FixedPointGrid, RefusesNanInfAndWhatExceedsTheBound) {
  const FixedPointGrid grid(1.0);
  std::array<std::int64_t, 1> sum{};
  for (const double bad : {std::nan(""), HUGE_VAL, -2.1}) {
    EXPECT_THROW(grid.add(std::array{bad}, sum), NumericError) << bad;
    EXPECT_THROW(grid.add(at::full({3}, bad, at::kDouble), at::zeros({3}, at::kLong)), NumericError) << bad;
  }
  EXPECT_EQ(sum[0], 0);
  EXPECT_THROW(FixedPointGrid{std::nan("")}, NumericError);
  EXPECT_THROW(FixedPointGrid{HUGE_VAL}, NumericError);
  EXPECT_THROW(FixedPointGrid{-1.0}, NumericError);
}

TEST(FixedPointGrid, RefusesShapesThatDiffer) {
  const FixedPointGrid grid(1.0);
  std::array<std::int64_t, 2> sums{};
  EXPECT_THROW(grid.add(std::array{0.5}, sums), NumericError);
  EXPECT_THROW(grid.add(at::zeros({3}, at::kDouble), at::zeros({4}, at::kLong)), NumericError);
  EXPECT_THROW(grid.add(at::zeros({3}, at::kDouble), at::zeros({3}, at::kInt)), NumericError);
}

TEST(FixedPointGrid, TinyZeroAndHugeBoundsWork) {
  for (const double bound : {0.0, 1e-310, 1e-280, 1e300, std::numeric_limits<double>::max()}) {
    const FixedPointGrid grid(bound);
    std::array<std::int64_t, 1> sum{};
    grid.add(std::array{bound / 2}, sum);
    // A bound below 2^-900 counts as 2^-900; what is below its quantum 2^-960 is lost.
    EXPECT_NEAR(grid.values(sum)[0], bound / 2, std::max(bound * 0x1p-60, 0x1p-960)) << bound;
  }
}

TEST(ReproducibleSum, SpansAndTensorsGiveTheSameAccumulators) {
  const std::array<double, 6> parts = {1.0 / 3, -2.0 / 7, 1e-12, 0.0, -1.0, 0.9999999999999999};
  ReproducibleSum by_span({2, 3}, 1.0);
  by_span.add(parts);
  at::Tensor tensor = at::zeros({2, 3}, at::kDouble);
  std::copy(parts.begin(), parts.end(), tensor.mutable_data_ptr<double>());
  ReproducibleSum by_tensor({2, 3}, 1.0);
  by_tensor.add(tensor);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(by_span.accumulators().const_data_ptr<std::int64_t>()[i],
              by_tensor.accumulators().const_data_ptr<std::int64_t>()[i]);
  }
  EXPECT_EQ(by_tensor.values().sizes(), (std::vector<std::int64_t>{2, 3}));
}

}  // namespace
}  // namespace tercet
