#include "tercet/base/simd.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tercet::simd {
namespace {

TEST(SimdExp, IsWithinThreeUnitsInTheLastPlace) {
  double worst = 0;
  for (int i = 0; i <= 1'750'000; ++i) {
    const float x = -87.0f + static_cast<float>(i) * 1e-4f;
    const double exact = std::exp(static_cast<double>(x));
    const float rounded = static_cast<float>(exact);
    const double unit = static_cast<double>(std::nextafter(rounded, INFINITY)) - static_cast<double>(rounded);
    worst = std::max(worst, std::abs(static_cast<double>(exp(x)) - exact) / unit);
  }
  EXPECT_LT(worst, 3.0);
  EXPECT_GT(worst, 0.1) << "that is better than fp32 can be";
}

TEST(SimdExp, OfZeroIsOneAndOfVeryNegativeNumbersIsZero) {
  EXPECT_EQ(exp(0.0f), 1.0f);
  EXPECT_EQ(exp(-0.0f), 1.0f);
  EXPECT_EQ(exp(-87.1f), 0.0f);
  EXPECT_EQ(exp(-1e30f), 0.0f);
  EXPECT_EQ(exp(-std::numeric_limits<float>::infinity()), 0.0f);
}

TEST(SimdExp, StaysFiniteAtTheUpperEndAndPassesOnWhatIsNotANumber) {
  EXPECT_TRUE(std::isfinite(exp(88.0f)));
  EXPECT_EQ(exp(1e30f), exp(88.0f));
  EXPECT_TRUE(std::isnan(exp(std::numeric_limits<float>::quiet_NaN())));
}

TERCET_EXACT_CLONES void multiply_add(const float* a, const float* b, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] * b[i] + out[i];
}

// What the clone for this machine gives is what two roundings give; a fused multiply-add rounds once.
TEST(ExactClones, RoundTheProductAndTheSum) {
  const std::int64_t count = 1000;
  std::vector<float> a(count), b(count), out(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<float>(i);
    a[static_cast<std::size_t>(i)] = 1.0f + x * 1.1920929e-7f;
    b[static_cast<std::size_t>(i)] = 1.0f + x * 3.5762787e-7f;
    out[static_cast<std::size_t>(i)] = -1.0f;
  }
  multiply_add(a.data(), b.data(), out.data(), count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const volatile float product = a[i] * b[i];
    ASSERT_EQ(out[i], product - 1.0f) << i;
  }
}

class Lanes : public ::testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Counts, Lanes, ::testing::Values(0, 1, 15, 16, 17, 100));

TEST_P(Lanes, SumAndMaximumTakeEveryElementOnce) {
  const std::int64_t count = GetParam();
  const auto value = [](std::int64_t i) { return static_cast<float>((i * 37) % 101); };
  float sum = 0, largest = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += value(i);
    largest = std::max(largest, value(i));
  }
  EXPECT_EQ(sum_lanes<float>(count, value), sum);  // whole numbers: exact in any order
  EXPECT_EQ(largest_of<float>(count, -1.0f, value), largest);
}

template <typename C>
void expect_largest_of_any_sign() {
  const C infinity = std::numeric_limits<C>::infinity(), none = std::numeric_limits<C>::quiet_NaN();
  const std::vector<C> values{none, C(-3), -none, C(-0.5), C(-2), -infinity};
  const auto largest = [](const std::vector<C>& of, C start) {
    return largest_of<C>(static_cast<std::int64_t>(of.size()), start,
                         [&](std::int64_t i) { return of[static_cast<std::size_t>(i)]; });
  };
  EXPECT_EQ(largest(values, -infinity), C(-0.5));
  EXPECT_EQ(largest(values, C(0)), C(0));
  EXPECT_EQ(largest({C(1e-40), none, C(0)}, C(-1)), C(1e-40));
  EXPECT_EQ(largest({C(5), infinity}, C(-1)), infinity);
  EXPECT_TRUE(std::isnan(largest({none}, none)));
}

TEST(LargestOfLanes, IsOfAnySignAndPassesOverWhatIsNoNumber) {
  expect_largest_of_any_sign<float>();
  expect_largest_of_any_sign<double>();
}

}  // namespace
}  // namespace tercet::simd
