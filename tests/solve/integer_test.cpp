// Compensation and scale search on integer grids, with every assignment as the judge where there are few.
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "solve/compensate.hpp"
#include "solve/problems.hpp"
#include "solve/scale_fit.hpp"

namespace tercet::solve {
namespace {

struct Case {
  std::string format;
  bool symmetric;
  Granularity granularity;
};

class SolveIntegers : public testing::TestWithParam<Case> {
 protected:
  FormatSpec spec() const { return test::spec_by(GetParam().granularity, 16, GetParam().format, GetParam().symmetric); }
};
INSTANTIATE_TEST_SUITE_P(
    Grids, SolveIntegers,
    testing::Values(Case{"int2", true, Granularity::kGroup}, Case{"int2", false, Granularity::kGroup},
                    Case{"int3", true, Granularity::kChannel}, Case{"int3", false, Granularity::kGroup},
                    Case{"int4", true, Granularity::kGroup}, Case{"int4", false, Granularity::kChannel},
                    Case{"int4", false, Granularity::kTensor}, Case{"int8", true, Granularity::kGroup}),
    [](const auto& instance) {
      return instance.param.format + (instance.param.symmetric ? "_symmetric_" : "_asymmetric_") +
             to_string(instance.param.granularity);
    });

TEST_P(SolveIntegers, LosesLessOfTheOutputThanTheCalibratedRule) {
  const at::Tensor weight = test::weights(1, 24, 80);
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(2, 500, 80));
  double last = INFINITY;
  for (const std::int64_t sweeps : {0, 4}) {
    SolverOptions options;
    options.sweeps = sweeps;
    const LayerSolution solved = solve_layer(weight, statistics, spec(), options);
    EXPECT_EQ(solved.report.method, "compensated");
    EXPECT_LT(solved.report.error, 0.95 * solved.report.error_rounding);
    EXPECT_LE(solved.report.error, last * (1 + 1e-6));  // the damped problem is what sweeps improve
    last = solved.report.error;
  }
}

TEST_P(SolveIntegers, GivesMastersThatTrainingSeesAsTheSolvedValues) {
  const at::Tensor weight = test::weights(3, 10, 48);
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(4, 300, 48));
  const LayerSolution solved = solve_layer(weight, statistics, spec(), {});
  const StoredTensor again = store(solved.masters, spec(), solved.calibration);
  EXPECT_TRUE(at::equal(again.codes, solved.stored.codes));
  EXPECT_TRUE(at::equal(again.scales, solved.stored.scales));
  at::Tensor seen = at::zeros_like(solved.masters);
  fake_quantize(solved.masters, spec(), solved.calibration, seen);
  EXPECT_TRUE(at::equal(seen, dequantize(solved.stored)));
  const LayerSolution read = solution_from_bytes(to_bytes(solved));
  EXPECT_EQ(to_bytes(read), to_bytes(solved));
  EXPECT_TRUE(at::equal(dequantize(read.stored), dequantize(solved.stored)));
}

// Calls visit(levels) for each of the 4^n assignments of 2-bit levels.
void every_assignment(std::size_t count, const std::function<void(const std::vector<double>&)>& visit) {
  std::vector<double> levels(count);
  for (std::size_t code = 0; code < std::size_t{1} << 2 * count; ++code) {
    for (std::size_t j = 0; j < count; ++j) levels[j] = static_cast<double>(code >> 2 * j & 3) - 2;
    visit(levels);
  }
}

// Least error of w ~ s q (symmetric), or of w ~ s (q - z) with z any of the levels.
double least_error(const std::vector<double>& w, const std::vector<double>& d, bool symmetric) {
  double best = INFINITY;
  every_assignment(w.size(), [&](const std::vector<double>& levels) {
    for (double zero = symmetric ? 0 : -2; zero <= (symmetric ? 0 : 1); ++zero) {
      double whole = 0, product = 0, total = 0;
      for (std::size_t j = 0; j < w.size(); ++j) {
        whole += d[j] * w[j] * w[j];
        product += d[j] * (levels[j] - zero) * w[j];
        total += d[j] * (levels[j] - zero) * (levels[j] - zero);
      }
      if (total > 0 && (symmetric || product > 0)) best = std::min(best, whole - product * product / total);
    }
  });
  return best;
}

TEST(IntegerScaleFit, ComesCloseToTheLeastErrorOfAllLevels) {
  for (const bool symmetric : {true, false}) {
    const Grid grid(test::spec_by(Granularity::kChannel, 0, "int2", symmetric));
    double excess = 0;
    constexpr int kProblems = 20;
    for (std::uint64_t seed = 0; seed < kProblems; ++seed) {
      const at::Tensor wt = test::normal_double(seed, {6}), dt = test::normal_double(seed + 1000, {6}).square() + 0.1;
      const std::vector<double> w(wt.const_data_ptr<double>(), wt.const_data_ptr<double>() + 6);
      const std::vector<double> d(dt.const_data_ptr<double>(), dt.const_data_ptr<double>() + 6);
      const BlockScale block = fit_scale(w, d, grid);
      double found = 0, whole = 0;
      for (std::size_t j = 0; j < w.size(); ++j) {
        const double lost = w[j] - block.scale * nearest_multiple(w[j], block, grid);
        found += d[j] * lost * lost;
        whole += d[j] * w[j] * w[j];
      }
      const double best = least_error(w, d, symmetric);
      EXPECT_GE(found, best - 1e-6 * whole) << seed;
      excess += (found - best) / whole;
    }
    EXPECT_LT(excess / kProblems, 0.01) << symmetric;  // of the energy of the weights
  }
}

TEST(IntegerCompensation, ComesCloseToTheBestOfAllAssignmentsAndNeverBelow) {
  const FormatSpec spec = test::spec_by(Granularity::kChannel, 0, "int2");
  const Grid grid(spec);
  constexpr int kProblems = 20;
  double excess = 0, excess_of_rounding = 0;
  for (std::uint64_t seed = 0; seed < kProblems; ++seed) {
    const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(10 * seed, 24, 6));
    const ColumnOrder order = order_columns(statistics.second_moment.diagonal().contiguous(), spec, false);
    LayerReport report;
    const Quadratic quadratic = *factorise(statistics.second_moment, {}, report);
    const at::Tensor weight = test::weights(10 * seed + 7, 1, 6).to(at::kDouble);
    Assignment a = compensate(weight, quadratic, order.runs, spec.granularity, grid);
    improve(weight, quadratic, order.runs, spec.granularity, grid, 10, a);
    const double scale = a.scales.item<double>(), found = test::energy(weight - a.multiples * scale, quadratic.hessian);
    double best = INFINITY;
    every_assignment(6, [&](const std::vector<double>& levels) {
      at::Tensor q = at::empty({1, 6}, at::kDouble);
      std::copy(levels.begin(), levels.end(), q.mutable_data_ptr<double>());
      best = std::min(best, test::energy(weight - q * scale, quadratic.hessian));
    });
    EXPECT_GE(found, best * (1 - 1e-12)) << seed;
    excess += found / best - 1;
    excess_of_rounding +=
        test::energy(weight - (weight / scale).round().clamp(-2, 1) * scale, quadratic.hessian) / best - 1;
  }
  EXPECT_LT(excess, 0.5 * excess_of_rounding);
}

}  // namespace
}  // namespace tercet::solve
