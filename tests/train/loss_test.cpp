#include "tercet/train/loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "train/tiny_model.hpp"

namespace tercet {
namespace {

constexpr std::int64_t kBatch = 2, kPositions = 9;

struct Logits {
  at::Tensor student, teacher, ids;
};

Logits make_logits(std::int64_t vocab, at::ScalarType dtype, double scale) {
  return {test::normal(1, {kBatch, kPositions, vocab}, scale).to(dtype),
          test::normal(2, {kBatch, kPositions, vocab}, scale).to(dtype),
          at::randint(0, vocab, {kBatch, kPositions}, at::detail::createCPUGenerator(3), at::kLong)};
}

// The same loss by ATen's own operations in float64, with autograd's gradient.
struct Reference {
  double kl = 0, ce = 0, loss = 0;
  at::Tensor gradient;
};

Reference reference(const Logits& logits, double kl_weight, double ce_weight) {
  const at::Tensor z = logits.student.to(at::kDouble).detach().clone().set_requires_grad(true);
  const at::Tensor log_q = at::log_softmax(z, -1);
  Reference result;
  at::Tensor loss = at::zeros({}, at::kDouble);
  if (logits.teacher.defined()) {
    const at::Tensor log_p = at::log_softmax(logits.teacher.to(at::kDouble), -1);
    const at::Tensor kl = (log_p.exp() * (log_p - log_q)).sum();
    result.kl = kl.item<double>();
    loss = loss + kl_weight * kl;
  }
  const at::Tensor ce = at::nll_loss(log_q.slice(1, 0, kPositions - 1).reshape({-1, z.size(-1)}),
                                     logits.ids.slice(1, 1).reshape({-1}), {}, at::Reduction::Sum);
  result.ce = ce.item<double>();
  loss = loss + ce_weight * ce;
  loss.backward();
  result.loss = loss.item<double>();
  result.gradient = z.grad();
  return result;
}

struct Outcome {
  LossResult loss;
  at::Tensor gradient;
};

Outcome ours(const Logits& logits, double kl_weight, double ce_weight) {
  const at::Tensor z = logits.student.detach().clone().set_requires_grad(true);
  Outcome outcome{distillation_loss(z, logits.teacher, logits.ids, kl_weight, ce_weight), {}};
  outcome.loss.loss.backward();
  outcome.gradient = z.grad();
  return outcome;
}

void expect_same(const Logits& logits, double kl_weight, double ce_weight) {
  const Reference expected = reference(logits, kl_weight, ce_weight);
  const Outcome got = ours(logits, kl_weight, ce_weight);
  EXPECT_NEAR(got.loss.kl_sum, expected.kl, 1e-5 * (1 + std::abs(expected.kl)));
  EXPECT_NEAR(got.loss.cross_entropy_sum, expected.ce, 1e-5 * (1 + expected.ce));
  EXPECT_NEAR(got.loss.loss.item<double>(), expected.loss, 1e-5 * (1 + std::abs(expected.loss)));
  ASSERT_EQ(got.gradient.scalar_type(), logits.student.scalar_type());
  // A gradient stored in bfloat16 has 8 bits; one in float32 carries the errors of exp (2 units in the last place).
  const double relative = logits.student.scalar_type() == at::kBFloat16 ? 0x1p-8 : 1e-5;
  EXPECT_TRUE(at::allclose(got.gradient.to(at::kDouble), expected.gradient, relative, 1e-6))
      << "largest difference " << (got.gradient.to(at::kDouble) - expected.gradient).abs().max().item<double>();
}

class Loss : public ::testing::TestWithParam<std::tuple<std::int64_t, at::ScalarType>> {
 protected:
  Logits logits(double scale = 3.0) const {
    return make_logits(std::get<0>(GetParam()), std::get<1>(GetParam()), scale);
  }
};

INSTANTIATE_TEST_SUITE_P(
    Shapes, Loss, ::testing::Combine(::testing::Values(17, 257, 2048), ::testing::Values(at::kFloat, at::kBFloat16)),
    [](const auto& instance) {
      return std::to_string(std::get<0>(instance.param)) + c10::toString(std::get<1>(instance.param));
    });

TEST_P(Loss, OfDivergenceAloneEqualsTheExpressionAndItsGradient) {
  expect_same(logits(), 0.5, 0);
}

TEST_P(Loss, OfCrossEntropyAloneEqualsTheExpressionAndItsGradient) {
  Logits without_teacher = logits();
  without_teacher.teacher = at::Tensor();
  expect_same(without_teacher, 0, 0.25);
}

TEST_P(Loss, OfAMixtureEqualsTheExpressionAndItsGradient) {
  expect_same(logits(), 0.7, 0.3);
}

TEST_P(Loss, StaysRightAtLogitsOfPlusAndMinusEighty) {
  Logits extreme = logits();
  extreme.student = at::sign(extreme.student.to(at::kFloat)).mul(80).to(extreme.student.scalar_type());
  extreme.teacher = at::sign(extreme.teacher.to(at::kFloat)).mul(80).to(extreme.teacher.scalar_type());
  expect_same(extreme, 0.6, 0.4);
}

TEST_P(Loss, HasNoDivergenceFromAnIdenticalTeacher) {
  Logits same = logits();
  same.teacher = same.student.clone();
  const Outcome got = ours(same, 1, 0);
  EXPECT_NEAR(got.loss.kl_sum, 0, 1e-5);
  EXPECT_LE(got.gradient.abs().max().item<double>(), 1e-6);
}

TEST(LossGradient, IsMultipliedByWhatComesFromAbove) {
  const Logits logits = make_logits(33, at::kFloat, 2);
  const at::Tensor z = logits.student.detach().clone().set_requires_grad(true);
  distillation_loss(z, logits.teacher, logits.ids, 1, 0.5).loss.mul(3).backward();
  EXPECT_TRUE(at::allclose(z.grad().to(at::kDouble), reference(logits, 1, 0.5).gradient * 3, 1e-5, 3e-6));
}

TEST(LossGradient, TakesTheLastPositionOnlyFromTheTeacher) {
  Logits logits = make_logits(33, at::kFloat, 2);
  logits.teacher = at::Tensor();
  const at::Tensor gradient = ours(logits, 0, 1).gradient;
  EXPECT_EQ(gradient.select(1, kPositions - 1).abs().max().item<double>(), 0);
  EXPECT_GT(gradient.select(1, kPositions - 2).abs().max().item<double>(), 0);
}

TEST(LossGradient, IsNotFiniteWhereALogitIsNotANumber) {
  Logits logits = make_logits(33, at::kFloat, 2);
  logits.student[1][4][20] = std::numeric_limits<float>::quiet_NaN();
  const Outcome got = ours(logits, 0.5, 0.5);
  EXPECT_FALSE(std::isfinite(got.loss.loss.item<double>()));
  EXPECT_FALSE(std::isfinite(got.gradient.sum().item<double>()));
}

TEST(LossWeights, MultiplyTheDivergenceOfEachPositionAndNotItsRecord) {
  const Logits logits = make_logits(33, at::kFloat, 2);
  const at::Tensor weights = test::normal(7, {kBatch, kPositions}).abs();
  const at::Tensor z = logits.student.detach().clone().set_requires_grad(true);
  const LossResult got = distillation_loss(z, logits.teacher, logits.ids, 0.6, 0.4, weights);
  got.loss.backward();

  const at::Tensor again = logits.student.to(at::kDouble).detach().clone().set_requires_grad(true);
  const at::Tensor log_q = at::log_softmax(again, -1), log_p = at::log_softmax(logits.teacher.to(at::kDouble), -1);
  const at::Tensor kl = (log_p.exp() * (log_p - log_q)).sum(-1);
  const at::Tensor ce = at::nll_loss(log_q.slice(1, 0, kPositions - 1).reshape({-1, 33}),
                                     logits.ids.slice(1, 1).reshape({-1}), {}, at::Reduction::Sum);
  const at::Tensor expected = 0.6 * (kl * weights).sum() + 0.4 * ce;
  expected.backward();
  EXPECT_NEAR(got.loss.item<double>(), expected.item<double>(), 1e-4);
  EXPECT_NEAR(got.kl_sum, kl.sum().item<double>(), 1e-4);
  EXPECT_TRUE(at::allclose(z.grad().to(at::kDouble), again.grad(), 1e-5, 1e-6));
}

// Kim et al. 2023: softmax of the teacher's cross-entropies over the sequence, at temperature 10.
TEST(LossWeights, OfTokensFollowWhatTheTeacherFindsHard) {
  const Logits logits = make_logits(33, at::kFloat, 4);
  const at::Tensor weights = token_scaled_weights(logits.teacher, logits.ids);
  for (std::int64_t sequence = 0; sequence < kBatch; ++sequence) {
    std::vector<double> shares;
    double total = 0;
    for (std::int64_t t = 0; t + 1 < kPositions; ++t) {
      const at::Tensor row = logits.teacher[sequence][t].to(at::kDouble);
      const std::int64_t next = logits.ids[sequence][t + 1].item<std::int64_t>();
      shares.push_back(std::exp((row.exp().sum().log() - row[next]).item<double>() / 10));
      total += shares.back();
    }
    for (std::int64_t t = 0; t + 1 < kPositions; ++t) {
      const double expected = shares[static_cast<std::size_t>(t)] / total * (kPositions - 1);
      EXPECT_NEAR(weights[sequence][t].item<double>(), expected, 1e-5) << sequence << " " << t;
    }
    EXPECT_EQ(weights[sequence][kPositions - 1].item<float>(), 1.0f);
  }
}

TEST(StreamLoss, IsTheMeanOverBlocksOfEachPositionsRelativeSquaredError) {
  std::vector<at::Tensor> student, teacher, again;
  for (std::uint64_t block = 0; block < 3; ++block) {
    teacher.push_back(test::normal(block, {2, 5, 8}, 1.0 + static_cast<double>(block)));
    student.push_back((teacher.back() + test::normal(10 + block, {2, 5, 8}, 0.3)).set_requires_grad(true));
    again.push_back(student.back().to(at::kDouble).detach().clone().set_requires_grad(true));
  }
  const StreamLoss got = stream_loss(student, teacher, 0.25);
  got.loss.backward();

  at::Tensor sum = at::zeros({}, at::kDouble);
  for (std::size_t block = 0; block < 3; ++block) {
    for (std::int64_t row = 0; row < 10; ++row) {
      const at::Tensor target = teacher[block].view({10, 8})[row].to(at::kDouble);
      sum = sum + (again[block].view({10, 8})[row] - target).square().sum() / target.square().sum() / 3;
    }
  }
  (0.25 * sum).backward();
  EXPECT_NEAR(got.error_sum, sum.item<double>(), 1e-5);
  EXPECT_NEAR(got.loss.item<double>(), 0.25 * sum.item<double>(), 1e-5);
  for (std::size_t block = 0; block < 3; ++block) {
    EXPECT_TRUE(at::allclose(student[block].grad().to(at::kDouble), again[block].grad(), 1e-5, 1e-7)) << block;
  }
}

TEST(StreamLoss, OfTheTeacherItselfIsZero) {
  const at::Tensor stream = test::normal(3, {2, 4, 8}).set_requires_grad(true);
  EXPECT_EQ(stream_loss({stream}, {stream}, 1).error_sum, 0);
}

AttentionHeads some_heads(std::uint64_t seed) {
  const std::vector<std::int64_t> shape{2, 3, 5, 4};
  return {test::normal(seed, shape), test::normal(seed + 1, shape), test::normal(seed + 2, shape)};
}

// The definition, row by row, in fp64.
at::Tensor relation_divergence(const at::Tensor& student, const at::Tensor& teacher) {
  at::Tensor sum = at::zeros({}, at::kDouble);
  const auto relation = [](const at::Tensor& heads, std::int64_t b, std::int64_t h, std::int64_t i) {
    return at::softmax(heads[b][h].matmul(heads[b][h][i]) / 2.0, 0);  // sqrt(4)
  };
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t h = 0; h < 3; ++h) {
      for (std::int64_t i = 0; i < 5; ++i) {
        const at::Tensor p = relation(teacher, b, h, i), q = relation(student, b, h, i);
        sum = sum + (p * (p / q).log()).sum() / 3;
      }
    }
  }
  return sum;
}

TEST(RelationLoss, IsTheDivergenceOfTheRelationsOfEachHead) {
  const AttentionHeads teacher = some_heads(1);
  AttentionHeads student = some_heads(7);
  std::vector<at::Tensor> inputs, doubles;
  for (at::Tensor* heads : {&student.query, &student.key, &student.value}) {
    doubles.push_back(heads->to(at::kDouble).set_requires_grad(true));
    inputs.push_back(heads->set_requires_grad(true));
  }
  const RelationLoss got = relation_loss(student, teacher, 0.25);
  got.loss.backward();
  at::Tensor sum = at::zeros({}, at::kDouble);
  const std::array<at::Tensor, 3> targets{teacher.query, teacher.key, teacher.value};
  for (std::size_t i = 0; i < 3; ++i) sum = sum + relation_divergence(doubles[i], targets[i].to(at::kDouble)) / 3;
  (0.25 * sum).backward();
  EXPECT_NEAR(got.divergence_sum, sum.item<double>(), 1e-5);
  EXPECT_NEAR(got.loss.item<double>(), 0.25 * sum.item<double>(), 1e-5);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::allclose(inputs[i].grad().to(at::kDouble), doubles[i].grad(), 1e-4, 1e-6)) << i;
  }
}

TEST(RelationLoss, OfTheTeacherItselfIsZero) {
  const AttentionHeads heads = some_heads(1);
  EXPECT_NEAR(relation_loss(heads, heads, 1).divergence_sum, 0, 1e-5);
}

}  // namespace
}  // namespace tercet
