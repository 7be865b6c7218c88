#include "tercet/solve/solver.hpp"

#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "solve/problems.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using test::spec_by;

class SolveLayerBy : public testing::TestWithParam<Granularity> {};
INSTANTIATE_TEST_SUITE_P(Granularities, SolveLayerBy,
                         testing::Values(Granularity::kTensor, Granularity::kChannel, Granularity::kGroup),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(SolveLayerBy, LosesFarLessOfTheOutputThanRoundingWhenInputsAreCorrelated) {
  const at::Tensor weight = test::weights(1, 24, 72);
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(2, 500, 72));
  SolverOptions rounding;
  rounding.method = SolveMethod::kRounding;
  const FormatSpec spec = spec_by(GetParam());
  const LayerSolution rounded = solve_layer(weight, statistics, spec, rounding);
  for (const bool act_order : {false, true}) {
    SolverOptions options;
    options.act_order = act_order;
    double last = test::output_energy(weight, rounded.stored, statistics);
    for (const std::int64_t sweeps : {0, 4}) {
      options.sweeps = sweeps;
      const LayerSolution solved = solve_layer(weight, statistics, spec, options);
      const double energy = test::output_energy(weight, solved.stored, statistics);
      EXPECT_EQ(solved.report.method, "compensated");
      EXPECT_LT(energy, (sweeps == 0 ? 0.95 : 0.99) * last)
          << act_order << sweeps;  // compensation helps, and sweeps help again
      const double whole = test::output_energy(
          weight, pack({at::zeros_like(weight, at::kChar), solved.stored.scales, {}}, spec), statistics);
      EXPECT_NEAR(solved.report.error, std::sqrt(energy / whole), 1e-9);
      EXPECT_DOUBLE_EQ(solved.report.error_rounding, rounded.report.error);
      last = energy;
    }
  }
}

TEST_P(SolveLayerBy, GivesMastersThatTrainingSeesAsTheSolvedValues) {
  const at::Tensor weight = test::weights(3, 10, 50);
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(4, 300, 50));
  const FormatSpec spec = spec_by(GetParam());
  const LayerSolution solved = solve_layer(weight, statistics, spec, {});
  const StoredTensor again = store(solved.masters, spec, solved.calibration);
  EXPECT_TRUE(at::equal(again.codes, solved.stored.codes));
  EXPECT_TRUE(at::equal(again.scales, solved.stored.scales));
  at::Tensor seen = at::zeros_like(solved.masters);
  fake_quantize(solved.masters, spec, solved.calibration, seen);
  EXPECT_TRUE(at::equal(seen, dequantize(solved.stored)));
}

TEST(SolveLayer, WithRoundingIsTheRuleItself) {
  const at::Tensor weight = test::weights(5, 8, 32);
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(6, 100, 32));
  SolverOptions options;
  options.method = SolveMethod::kRounding;
  const FormatSpec spec = spec_by(Granularity::kGroup);
  const LayerSolution solved = solve_layer(weight, statistics, spec, options);
  const Calibration calibration = calibrate_format(weight, spec, statistics.mean_square);
  const StoredTensor expected = store(weight, spec, calibration);
  EXPECT_TRUE(at::equal(solved.stored.codes, expected.codes));
  EXPECT_TRUE(at::equal(solved.stored.scales, expected.scales));
  EXPECT_TRUE(at::equal(solved.masters, weight));
  EXPECT_EQ(solved.report.method, "rounding");
  EXPECT_EQ(solved.report.fallback, "");
}

TEST(SolveLayer, RaisesTheDampingUntilASingularSecondMomentHasAFactor) {
  at::Tensor inputs = test::correlated_inputs(7, 200, 24);
  inputs.select(1, 5).copy_(inputs.select(1, 4));  // a duplicate
  inputs.select(1, 9).fill_(3.0);                  // and two constant columns
  inputs.select(1, 10).fill_(-1.5);
  SolverOptions options;
  options.damping = 0;
  const LayerSolution solved =
      solve_layer(test::weights(8, 6, 24), test::statistics_of(inputs), spec_by(Granularity::kGroup), options);
  const LayerReport& report = solved.report;
  EXPECT_EQ(report.method, "compensated");
  ASSERT_FALSE(report.tries.empty());
  EXPECT_EQ(report.tries.back().outcome, "solved");
  EXPECT_EQ(report.tries.back().damping, report.damping);
  EXPECT_LE(report.error, report.error_rounding);
}

// Eigenvalues 3 and -1 per pair: with lambda = damping * 1 the matrix is positive only beyond damping 1.
LayerStatistics indefinite_statistics(double off_diagonal) {
  LayerStatistics statistics;
  statistics.name = "model.layers.3.mlp.up_proj.weight";
  statistics.mean_square = at::ones({8}, at::kFloat);
  statistics.second_moment = at::eye(8, at::kDouble);
  for (std::int64_t j = 0; j < 8; j += 2) {
    statistics.second_moment[j][j + 1] = off_diagonal;
    statistics.second_moment[j + 1][j] = off_diagonal;
  }
  return statistics;
}

TEST(SolveLayer, RecordsEveryTryOfTheDamping) {
  // Eigenvalue 1 - 1.05 = -0.05: 0.01 is too little, 0.1 is enough.
  const LayerSolution solved =
      solve_layer(test::weights(9, 4, 8), indefinite_statistics(1.05), spec_by(Granularity::kChannel), {});
  ASSERT_EQ(solved.report.tries.size(), 2u);
  EXPECT_DOUBLE_EQ(solved.report.tries[0].damping, 0.01);
  EXPECT_EQ(solved.report.tries[0].outcome, "not positive definite");
  EXPECT_DOUBLE_EQ(solved.report.tries[1].damping, 0.1);
  EXPECT_EQ(solved.report.tries[1].outcome, "solved");
}

TEST(SolveLayer, FallsBackToTheCalibratedRuleAfterTheLastTryAndSaysWhy) {
  const at::Tensor weight = test::weights(9, 4, 8);
  const LayerStatistics statistics = indefinite_statistics(2.5);
  const FormatSpec spec = spec_by(Granularity::kChannel);
  const LayerSolution solved = solve_layer(weight, statistics, spec, {});
  EXPECT_EQ(solved.report.name, statistics.name);
  EXPECT_EQ(solved.report.method, "rounding");
  EXPECT_EQ(solved.report.tries.size(), 3u);  // 0.01, 0.1, 1
  EXPECT_NE(solved.report.fallback, "");
  SolverOptions rounding;
  rounding.method = SolveMethod::kRounding;
  EXPECT_TRUE(at::equal(solved.stored.codes, solve_layer(weight, statistics, spec, rounding).stored.codes));
}

TEST(SolveLayer, TakesInputsThatAreAlwaysZeroAsTheyCome) {
  at::Tensor inputs = test::correlated_inputs(11, 200, 24);
  inputs.select(1, 3).zero_();
  inputs.slice(1, 16, 24).zero_();  // a whole group, and the last
  const at::Tensor weight = test::weights(12, 6, 24);
  const FormatSpec spec = spec_by(Granularity::kGroup, 8);
  const LayerSolution solved = solve_layer(weight, test::statistics_of(inputs), spec, {});
  EXPECT_EQ(solved.report.dead_inputs, 9);
  EXPECT_EQ(solved.report.method, "compensated");
  const at::Tensor trits = unpack_levels(solved.stored);
  EXPECT_GT(trits.slice(1, 16, 24).abs().sum().item<std::int64_t>(), 0);  // rounded to the nearest, not lost
  const at::Tensor last = trits.slice(1, 16, 24).to(at::kFloat);
  EXPECT_TRUE(at::equal(last * weight.slice(1, 16, 24).sign(), last.abs()));
  EXPECT_TRUE(at::equal(store(solved.masters, spec, solved.calibration).codes, solved.stored.codes));
}

TEST(SolveLayer, RoundsALayerThatNeverSawAnInput) {
  const at::Tensor weight = test::weights(13, 6, 24);
  const LayerSolution solved =
      solve_layer(weight, test::statistics_of(at::zeros({50, 24}, at::kDouble)), spec_by(Granularity::kGroup, 8), {});
  EXPECT_EQ(solved.report.method, "rounding");
  EXPECT_NE(solved.report.fallback.find("zero"), std::string::npos);
  const double share = unpack_levels(solved.stored).abs().to(at::kDouble).mean().item<double>();
  EXPECT_GT(share, 0.4);
  EXPECT_LT(share, 0.8);
}

TEST(SolveLayer, RefusesNumbersThatAreNotFiniteAndNamesTheLayer) {
  const FormatSpec spec = spec_by(Granularity::kGroup);
  const at::Tensor weight = test::weights(14, 4, 16);
  const LayerStatistics good = test::statistics_of(test::correlated_inputs(15, 50, 16));
  LayerStatistics bad = good;
  bad.second_moment = good.second_moment.clone();
  bad.second_moment[2][3] = std::numeric_limits<double>::quiet_NaN();
  try {
    solve_layer(weight, bad, spec, {});
    FAIL() << "NaN was accepted";
  } catch (const NumericError& error) {
    EXPECT_NE(std::string(error.what()).find("'layer'"), std::string::npos) << error.what();
  }
  at::Tensor infinite = weight.clone();
  infinite[0][0] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(solve_layer(infinite, good, spec, {}), NumericError);
  bad = good;
  bad.mean_square = good.mean_square.clone();
  bad.mean_square[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(solve_layer(weight, bad, spec, {}), NumericError);
}

TEST(SolveLayer, RefusesWhatItCannotSolve) {
  const at::Tensor weight = test::weights(14, 4, 16);
  LayerStatistics statistics = test::statistics_of(test::correlated_inputs(15, 50, 16));
  FormatSpec spec = spec_by(Granularity::kGroup);
  spec.rule = ScaleRule::kAbsmean;
  EXPECT_THROW(solve_layer(weight, statistics, spec, {}), DataError);
  EXPECT_THROW(solve_layer(weight, statistics, FormatSpec{number_format("float16")}, {}), DataError);
  statistics.second_moment = at::Tensor();
  EXPECT_THROW(solve_layer(weight, statistics, spec_by(Granularity::kGroup), {}), DataError);
}

TEST(SolutionBytes, GiveBackTheSolutionToTheBit) {
  const LayerSolution solved =
      solve_layer(test::weights(16, 5, 20), test::statistics_of(test::correlated_inputs(17, 60, 20)),
                  spec_by(Granularity::kGroup, 8), {});
  const std::string bytes = to_bytes(solved);
  const LayerSolution read = solution_from_bytes(bytes);
  EXPECT_EQ(to_bytes(read), bytes);
  EXPECT_TRUE(at::equal(read.masters, solved.masters));
  EXPECT_TRUE(at::equal(read.stored.codes, solved.stored.codes));
  EXPECT_TRUE(at::equal(read.stored.scales, solved.stored.scales));
  EXPECT_TRUE(at::equal(read.calibration.scale_factors, solved.calibration.scale_factors));
  EXPECT_EQ(read.stored.spec.group_size, 8);
  EXPECT_EQ(to_json(read.report), to_json(solved.report));
}

TEST(SolutionBytes, OfAnotherKindAreRefused) {
  const LayerSolution solved =
      solve_layer(test::weights(16, 5, 20), test::statistics_of(test::correlated_inputs(17, 60, 20)),
                  spec_by(Granularity::kGroup, 8), {});
  const std::string bytes = to_bytes(solved);
  for (std::size_t length = 0; length < bytes.size(); length += 37) {
    EXPECT_THROW(solution_from_bytes(std::string_view(bytes).substr(0, length)), DataError) << length;
  }
  EXPECT_THROW(solution_from_bytes("\xff\xff"), DataError);
  EXPECT_THROW(solution_from_bytes("\xa0"), DataError);  // an empty map
}

}  // namespace
}  // namespace tercet
