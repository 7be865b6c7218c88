#include "solve/scale_fit.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "solve/problems.hpp"

namespace tercet::solve {
namespace {

const Grid kTernaryGrid{{number_format("ternary")}};

// sum d (w - s T)^2 with the scale as stored and each trit the nearest.
double weighted_error(const std::vector<double>& weights, const std::vector<double>& importance,
                      const BlockScale& block) {
  double error = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const double lost = weights[j] - block.scale * nearest_multiple(weights[j], block, kTernaryGrid);
    error += importance[j] * lost * lost;
  }
  return error;
}

// Least error over all 3^n trits, each with its best scale.
double brute_force(const std::vector<double>& weights, const std::vector<double>& importance) {
  const auto assignments = static_cast<std::size_t>(std::pow(3, weights.size()));
  double best = INFINITY;
  for (std::size_t code = 0; code < assignments; ++code) {
    double whole = 0, product = 0, total = 0;
    std::size_t rest = code;
    for (std::size_t j = 0; j < weights.size(); ++j, rest /= 3) {
      const double trit = static_cast<double>(rest % 3) - 1;
      whole += importance[j] * weights[j] * weights[j];
      product += importance[j] * trit * weights[j];
      total += importance[j] * trit * trit;
    }
    best = std::min(best, total > 0 && product > 0 ? whole - product * product / total : whole);
  }
  return best;
}

TEST(ScaleFit, FindsTheLeastErrorOfAllTrits) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const at::Tensor w = test::normal_double(seed, {7}), d = test::normal_double(seed + 1000, {7}).square();
    const std::vector<double> weights(w.const_data_ptr<double>(), w.const_data_ptr<double>() + 7);
    const std::vector<double> importance(d.const_data_ptr<double>(), d.const_data_ptr<double>() + 7);
    const double best = brute_force(weights, importance);
    const double found = weighted_error(weights, importance, fit_scale(weights, importance, kTernaryGrid));
    EXPECT_NEAR(found, best, 1e-5 * best + 1e-7) << seed;  // the scale is rounded to fp16
  }
}

TEST(ScaleFit, GivesZerosAFiniteScale) {
  const double scale = fit_scale({0, 0, 0}, {1, 1, 1}, kTernaryGrid).scale;
  EXPECT_GT(scale, 0);
  EXPECT_TRUE(std::isfinite(scale));
}

TEST(ScaleFit, KeepsScalesWithinFp16) {
  EXPECT_EQ(as_stored_scale(1e9, kTernaryGrid), 65504.0);
  EXPECT_GT(as_stored_scale(1e-30, kTernaryGrid), 0.0);
  EXPECT_EQ(as_stored_scale(0.25, kTernaryGrid), 0.25);
}

}  // namespace
}  // namespace tercet::solve
