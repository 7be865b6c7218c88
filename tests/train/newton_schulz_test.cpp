#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "tercet/train/optimizer.hpp"
#include "train/matrix_reference.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

// Random singular vectors, singular values from 5 down to 1.
at::Tensor well_conditioned(std::int64_t rows, std::int64_t columns) {
  const std::int64_t rank = std::min(rows, columns);
  const auto basis = [&](std::uint64_t seed, std::int64_t size) {
    return std::get<0>(at::linalg_qr(test::normal(seed, {size, rank})));
  };
  return at::mm(at::mm(basis(1, rows), at::diag(at::linspace(5, 1, rank))), basis(2, columns).t());
}

class NewtonSchulz : public ::testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};

// The original crashed on everything that is not square.
INSTANTIATE_TEST_SUITE_P(Shapes, NewtonSchulz,
                         ::testing::Values(std::pair{32, 32}, std::pair{24, 72}, std::pair{72, 24}, std::pair{1, 8},
                                           std::pair{8, 1}),
                         [](const auto& instance) {
                           return std::to_string(instance.param.first) + "by" + std::to_string(instance.param.second);
                         });

TEST_P(NewtonSchulz, MovesAllSingularValuesNearOneInFiveSteps) {
  const at::Tensor x = newton_schulz(well_conditioned(GetParam().first, GetParam().second), 5);
  const at::Tensor singular = at::linalg_svdvals(x);
  EXPECT_GT(singular.min().item<double>(), 0.3);
  EXPECT_LT(singular.max().item<double>(), 1.3);
}

TEST_P(NewtonSchulz, EqualsTheIterationInPlainLoops) {
  const at::Tensor matrix = test::normal(3, {GetParam().first, GetParam().second}, 0.02);
  const at::Tensor x = newton_schulz(matrix, 5);
  const at::Tensor expected = test::newton_schulz_reference(test::Matrix(matrix), 5).tensor();
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_TRUE(at::allclose(x.to(at::kDouble), expected, 1e-3, 1e-3)) << (x - expected).abs().max().item<double>();
}

TEST_P(NewtonSchulz, InBfloat16StaysCloseAndReturnsFloat32) {
  const at::Tensor matrix = well_conditioned(GetParam().first, GetParam().second);
  const at::Tensor x = newton_schulz(matrix, 5, true);
  EXPECT_EQ(x.scalar_type(), at::kFloat);
  const at::Tensor singular = at::linalg_svdvals(x);
  EXPECT_GT(singular.min().item<double>(), 0.3);
  EXPECT_LT(singular.max().item<double>(), 1.3);
}

TEST(NewtonSchulzInput, IsNotChangedAndMayBeZero) {
  const at::Tensor matrix = test::normal(4, {6, 9});
  const at::Tensor before = matrix.clone();
  newton_schulz(matrix, 5);
  EXPECT_TRUE(at::equal(matrix, before));
  EXPECT_EQ(newton_schulz(matrix * 0, 5).abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace tercet
