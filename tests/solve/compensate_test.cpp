// The solver against slow algorithms written from their formulas, and against every assignment where there are few.
#include "solve/compensate.hpp"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>

#include "solve/problems.hpp"
#include "solve/scale_fit.hpp"

namespace tercet::solve {
namespace {

const Grid kTrits{{number_format("ternary")}};

struct Problem {
  at::Tensor weight;  // float64 [rows, columns], in fixing order
  Quadratic quadratic;
  ColumnOrder order;
};

Problem make_problem(std::uint64_t seed, std::int64_t rows, std::int64_t columns, const FormatSpec& spec) {
  const LayerStatistics statistics = test::statistics_of(test::correlated_inputs(seed, 4 * columns, columns));
  Problem problem;
  problem.order = order_columns(statistics.second_moment.diagonal().contiguous(), spec, true);
  const at::Tensor moment =
      statistics.second_moment.index_select(0, problem.order.columns).index_select(1, problem.order.columns);
  LayerReport report;
  problem.quadratic = *factorise(moment, {}, report);
  problem.weight = test::weights(seed + 7, rows, columns).to(at::kDouble);
  return problem;
}

at::Tensor values_of(const Assignment& a, const std::vector<ScaleRun>& runs) {
  at::Tensor values = a.multiples.clone();
  for (std::size_t r = 0; r < runs.size(); ++r)
    values.slice(1, runs[r].begin, runs[r].end)
        .mul_(a.scales.slice(1, static_cast<std::int64_t>(r), static_cast<std::int64_t>(r) + 1));
  return values;
}

// Optimal brain surgeon, a column at a time: the inverse of H over the columns that are left is made anew for each.
Assignment slow_reference(const Problem& problem) {
  const std::int64_t rows = problem.weight.size(0);
  at::Tensor w = problem.weight.clone();
  const at::Tensor per_run = at::empty({rows, static_cast<std::int64_t>(problem.order.runs.size())}, at::kDouble);
  Assignment a{at::empty_like(w), per_run, at::zeros_like(per_run), at::empty_like(w)};
  const auto inverse_of_rest = [&](std::int64_t k) {
    return at::linalg_inv(problem.quadratic.hessian.slice(0, k).slice(1, k));
  };
  for (std::size_t r = 0; r < problem.order.runs.size(); ++r) {
    const ScaleRun& run = problem.order.runs[r];
    std::vector<double> importance;
    for (std::int64_t k = run.begin; k < run.end; ++k)
      importance.push_back(1 / inverse_of_rest(k)[0][0].item<double>());
    for (std::int64_t row = 0; row < rows; ++row) {
      const double* weights = w[row].const_data_ptr<double>();
      a.scales[row][static_cast<std::int64_t>(r)] =
          fit_scale({weights + run.begin, weights + run.end}, importance, kTrits).scale;
    }
    for (std::int64_t k = run.begin; k < run.end; ++k) {
      const at::Tensor inverse = inverse_of_rest(k);
      for (std::int64_t row = 0; row < rows; ++row) {
        const double scale = a.scales[row][static_cast<std::int64_t>(r)].item<double>(),
                     value = w[row][k].item<double>();
        const double trit = std::fabs(value) > scale / 2 ? std::copysign(1.0, value) : 0.0;
        a.rounded[row][k] = value;
        a.multiples[row][k] = trit;
        w[row].slice(0, k).sub_(inverse[0] * ((value - scale * trit) / inverse[0][0].item<double>()));
      }
    }
  }
  return a;
}

class CompensateBy : public testing::TestWithParam<Granularity> {};
INSTANTIATE_TEST_SUITE_P(Granularities, CompensateBy, testing::Values(Granularity::kChannel, Granularity::kGroup),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(CompensateBy, EqualsTheAlgorithmThatInvertsWhatIsLeftAtEachColumn) {
  for (const std::int64_t columns : {40, 150}) {            // within one block of columns, and over several
    const FormatSpec spec = test::spec_by(GetParam(), 16);  // the last group is shorter
    const Problem problem = make_problem(3, 11, columns, spec);
    const Assignment fast = compensate(problem.weight, problem.quadratic, problem.order.runs, GetParam(), kTrits);
    const Assignment slow = slow_reference(problem);
    EXPECT_TRUE(at::equal(fast.multiples, slow.multiples)) << columns;
    EXPECT_TRUE(at::equal(fast.scales, slow.scales)) << columns;
    EXPECT_TRUE(at::allclose(fast.rounded, slow.rounded, 1e-7, 1e-9)) << columns;
  }
}

class ImproveBy : public testing::TestWithParam<Granularity> {};
INSTANTIATE_TEST_SUITE_P(Granularities, ImproveBy,
                         testing::Values(Granularity::kTensor, Granularity::kChannel, Granularity::kGroup),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(ImproveBy, NeverRaisesTheErrorAndKeepsTritsNearestToWhatWasRounded) {
  const FormatSpec spec = test::spec_by(GetParam(), 16);
  const Problem problem = make_problem(5, 9, 48, spec);
  Assignment a = compensate(problem.weight, problem.quadratic, problem.order.runs, GetParam(), kTrits);
  double before = test::energy(problem.weight - values_of(a, problem.order.runs), problem.quadratic.hessian);
  for (int i = 0; i < 4; ++i) {
    improve(problem.weight, problem.quadratic, problem.order.runs, GetParam(), kTrits, 1, a);
    const double after = test::energy(problem.weight - values_of(a, problem.order.runs), problem.quadratic.hessian);
    EXPECT_LE(after, before * (1 + 1e-12)) << i;
    before = after;
  }
  const at::Tensor per_weight = values_of({at::ones_like(a.multiples), a.scales, {}, {}}, problem.order.runs);
  const at::Tensor nearest = (a.rounded.abs() > per_weight / 2).to(at::kDouble) * a.rounded.sign();
  EXPECT_TRUE(at::equal(nearest, a.multiples));
}

TEST(Improve, EndsWhereNoSingleTritCanBeChangedForTheBetter) {
  const FormatSpec spec = test::spec_by(Granularity::kGroup, 8);
  const Problem problem = make_problem(9, 3, 24, spec);
  Assignment a = compensate(problem.weight, problem.quadratic, problem.order.runs, spec.granularity, kTrits);
  improve(problem.weight, problem.quadratic, problem.order.runs, spec.granularity, kTrits, 100, a);
  const double best = test::energy(problem.weight - values_of(a, problem.order.runs), problem.quadratic.hessian);
  for (std::int64_t row = 0; row < 3; ++row) {
    for (std::int64_t k = 0; k < 24; ++k) {
      for (const double trit : {-1.0, 0.0, 1.0}) {
        Assignment other{a.multiples.clone(), a.scales, {}, {}};
        other.multiples[row][k] = trit;
        EXPECT_GE(test::energy(problem.weight - values_of(other, problem.order.runs), problem.quadratic.hessian),
                  best * (1 - 1e-12));
      }
    }
  }
}

// Least energy over all 3^6 trits of a row with the scale given.
double brute_force(const at::Tensor& row, double scale, const at::Tensor& hessian) {
  double best = INFINITY;
  for (int code = 0; code < 729; ++code) {
    at::Tensor trits = at::empty({1, 6}, at::kDouble);
    for (int j = 0, rest = code; j < 6; ++j, rest /= 3) trits[0][j] = rest % 3 - 1;
    best = std::min(best, test::energy(row - trits * scale, hessian));
  }
  return best;
}

TEST(Compensation, ComesCloseToTheBestOfAllAssignmentsAndNeverBelow) {
  const FormatSpec spec = test::spec_by(Granularity::kChannel);
  int best_found = 0;
  double excess = 0, excess_of_rounding = 0;
  constexpr int kProblems = 40;
  for (std::uint64_t seed = 0; seed < kProblems; ++seed) {
    const Problem problem = make_problem(10 * seed, 1, 6, spec);
    const at::Tensor& hessian = problem.quadratic.hessian;
    Assignment a = compensate(problem.weight, problem.quadratic, problem.order.runs, spec.granularity, kTrits);
    improve(problem.weight, problem.quadratic, problem.order.runs, spec.granularity, kTrits, 10, a);
    const double scale = a.scales.item<double>(), found = test::energy(problem.weight - a.multiples * scale, hessian);
    const double best = brute_force(problem.weight, scale, hessian);
    const at::Tensor rounded = (problem.weight.abs() > scale / 2).to(at::kDouble) * problem.weight.sign();
    EXPECT_GE(found, best * (1 - 1e-12)) << seed;
    best_found += found <= best * (1 + 1e-12) ? 1 : 0;
    excess += found / best - 1;
    excess_of_rounding += test::energy(problem.weight - rounded * scale, hessian) / best - 1;
  }
  EXPECT_GE(best_found, kProblems / 2);
  EXPECT_LT(excess, 0.25 * excess_of_rounding);
}

TEST(ColumnOrder, TakesTheLargestInputsFirstAndKeepsGroupsTogether) {
  const at::Tensor diagonal = at::tensor({1.0, 2.0, 9.0, 1.0, 5.0}, at::kDouble);
  const ColumnOrder by_group = order_columns(diagonal, test::spec_by(Granularity::kGroup, 2), true);
  EXPECT_TRUE(at::equal(by_group.columns, at::tensor({2, 3, 4, 1, 0}, at::kLong)));  // sums 3, 10, 5
  EXPECT_EQ(by_group.runs[0].index, 1);
  EXPECT_EQ(by_group.runs[1].index, 2);
  EXPECT_EQ(by_group.runs[1].end - by_group.runs[1].begin, 1);
  const ColumnOrder by_row = order_columns(diagonal, test::spec_by(Granularity::kChannel), true);
  EXPECT_TRUE(at::equal(by_row.columns, at::tensor({2, 4, 1, 0, 3}, at::kLong)));
  const ColumnOrder as_is = order_columns(diagonal, test::spec_by(Granularity::kGroup, 2), false);
  EXPECT_TRUE(at::equal(as_is.columns, at::arange(5, at::kLong)));
}

}  // namespace
}  // namespace tercet::solve
