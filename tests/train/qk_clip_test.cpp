#include "train/qk_clip.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "train/training_run.hpp"

namespace tercet {
namespace {

using train::clip_factors;
using train::ClipFactors;
using train::QkClip;

constexpr std::int64_t kHeads = 4;

// The largest logit of each head, position by position, over what a query may read.
std::vector<double> largest_logits(Decoder& decoder, const at::Tensor& ids) {
  const at::NoGradGuard no_grad;
  std::vector<double> largest(static_cast<std::size_t>(decoder.config().layers * kHeads), -1e30);
  decoder.set_attention_observer([&](int layer, const at::Tensor& query, const at::Tensor& key) {
    for (std::int64_t b = 0; b < query.size(0); ++b) {
      for (std::int64_t h = 0; h < kHeads; ++h) {
        for (std::int64_t i = 0; i < query.size(2); ++i) {
          double& known = largest[static_cast<std::size_t>(layer * kHeads + h)];
          const at::Tensor seen = key[b][h].slice(0, 0, i + 1);
          known = std::max(
              known, seen.matmul(query[b][h][i]).max().item<double>() / std::sqrt(static_cast<double>(query.size(3))));
        }
      }
    }
  });
  decoder.forward(ids);
  decoder.set_attention_observer({});
  return largest;
}

// Queries and keys large enough for logits of several units, different for each head.
Student loud_student(Family family) {
  Student student = test::plain_student(3, family);
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : student.parameters()) {
    const bool attention =
        parameter.role == Role::kQuery || parameter.role == Role::kKey || parameter.role == Role::kFusedQkv;
    if (attention) parameter.master.mul_(25);
    if (parameter.role == Role::kBias) parameter.master.copy_(test::normal(8, parameter.master.sizes(), 0.5));
  }
  return student;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[values.size() / 2 - 1] + values[values.size() / 2]) / 2;
}

class QkClipFamily : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, QkClipFamily,
                         ::testing::Values(Family::kLlama, Family::kQwen2, Family::kGpt2, Family::kGptNeox),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(QkClipFamily, BringsEveryHeadToTheLimitAndLeavesTheOthersAlone) {
  Student student = loud_student(GetParam());
  const at::Tensor ids = test::counting_batch(0, 3, 12);
  // Clipping a block changes what later blocks read, so one block at a time is comparable: the first.
  const std::vector<double> before = largest_logits(student.decoder(), ids);
  const double limit = median({before.begin(), before.begin() + kHeads});
  QkClip clip(student, limit);
  clip.watch();
  student.decoder().forward(ids);
  const auto comm = make_self_communicator();
  EXPECT_NEAR(clip.apply(*comm, true), *std::max_element(before.begin(), before.end()), 1e-3);
  const std::vector<double> after = largest_logits(student.decoder(), ids);
  int clipped = 0;
  for (std::size_t head = 0; head < kHeads; ++head) {
    EXPECT_NEAR(after[head], std::min(before[head], limit), 1e-4 * (1 + std::abs(before[head]))) << "head " << head;
    clipped += before[head] > limit ? 1 : 0;
  }
  EXPECT_EQ(clipped, 2) << "the test must show both";
}

TEST_P(QkClipFamily, DoesNothingToModelsBelowTheLimitNorForARefusedStep) {
  Student student = loud_student(GetParam());
  const auto masters = student.copy_masters();
  const at::Tensor ids = test::counting_batch(0, 3, 12);
  const auto comm = make_self_communicator();
  const auto run = [&](double limit, bool take) {
    QkClip clip(student, limit);
    clip.watch();
    student.decoder().forward(ids);
    clip.apply(*comm, take);
    for (std::size_t i = 0; i < masters.size(); ++i) {
      EXPECT_TRUE(at::equal(student.parameters()[i].master, masters[i])) << student.parameters()[i].name;
    }
  };
  run(1e6, true);
  run(0.01, false);
  run(0, true);
}

TEST(QkClip, TouchesOnlyTheRowsOfHeadsAboveTheLimit) {
  Student student = loud_student(Family::kLlama);
  const at::Tensor ids = test::counting_batch(0, 3, 12);
  const std::vector<double> before = largest_logits(student.decoder(), ids);
  const auto masters = student.copy_masters();
  QkClip clip(student, median(before));
  clip.watch();
  student.decoder().forward(ids);
  clip.apply(*make_self_communicator(), true);
  for (std::size_t i = 0; i < masters.size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    if (parameter.role != Role::kQuery && parameter.role != Role::kKey) {
      EXPECT_TRUE(at::equal(parameter.master, masters[i])) << parameter.name;
      continue;
    }
    if (parameter.role != Role::kQuery) continue;
    const std::size_t layer = parameter.name.find("layers.0") != std::string::npos ? 0 : 1;
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const bool same =
          at::equal(parameter.master.slice(0, head * 8, head * 8 + 8), masters[i].slice(0, head * 8, head * 8 + 8));
      if (before[layer * kHeads + static_cast<std::size_t>(head)] <= median(before)) {
        EXPECT_TRUE(same) << head;
      }
    }
  }
}

TEST(QkClip, SharesTheFactorBetweenQueryAndKeyAsTheReportDoes) {
  const ClipFactors factors = clip_factors({400, 50, -3}, 3, 100);
  EXPECT_DOUBLE_EQ(factors.query[0], 0.5);
  EXPECT_DOUBLE_EQ(factors.key[0], 0.5);
  EXPECT_EQ(factors.query[1], 1.0);
  EXPECT_EQ(factors.key[1], 1.0);
  EXPECT_EQ(factors.query[2], 1.0);
  EXPECT_EQ(factors.key[2], 1.0);
}

TEST(QkClip, GivesASharedKeyHeadTheLargestFactorAndEachQueryHeadTheRest) {
  const ClipFactors factors = clip_factors({400, 1600, 50, 400}, 2, 100);
  EXPECT_DOUBLE_EQ(factors.key[0], 0.5);
  EXPECT_DOUBLE_EQ(factors.query[0], 0.5);
  EXPECT_DOUBLE_EQ(factors.query[1], 0.125);
  EXPECT_DOUBLE_EQ(factors.key[1], 1.0) << "a head below the limit keeps its key";
  EXPECT_DOUBLE_EQ(factors.query[2], 1.0);
  EXPECT_DOUBLE_EQ(factors.query[3], 0.25);
}

TEST(QkClip, LeavesFamiliesWithNormalisedQueriesAlone) {
  Student student = loud_student(Family::kQwen3);
  const auto masters = student.copy_masters();
  QkClip clip(student, 0.01);
  clip.watch();
  student.decoder().forward(test::counting_batch(0, 2, 12));
  EXPECT_EQ(clip.apply(*make_self_communicator(), true), 0);
  for (std::size_t i = 0; i < masters.size(); ++i) EXPECT_TRUE(at::equal(student.parameters()[i].master, masters[i]));
}

// The rule in the loop: the optimizer's rate is 0, so only the clip moves the masters; every step has the same batch.
TEST(QkClip, InTrainingKeepsALoudModelBelowTheLimit) {
  TrainerOptions options = test::short_run(4);
  options.qk_clip = 2.0;
  options.optimizer.kind = "adamw";
  options.optimizer.learning_rate = 0;
  test::Recorder recorder;
  TrainerCallbacks callbacks = recorder.callbacks();
  callbacks.sample = [](std::uint64_t index, std::span<std::int64_t> ids) { test::counting_sample(index % 8, ids); };
  Student student = loud_student(Family::kLlama);
  run_training(*make_self_communicator(), student, nullptr, options, callbacks);
  EXPECT_GT(recorder.steps.front().largest_attention_logit, 3.0);
  EXPECT_LE(recorder.steps.back().largest_attention_logit, 2.2);  // the second block reads what the first now gives
}

TEST(QkClip, KeepsTheLogitsOfATernaryStudentBelowTheLimitToo) {
  Student student = test::ternary_student(3);
  for (TrainedParameter& parameter : student.parameters()) {
    if (parameter.role == Role::kQuery || parameter.role == Role::kKey) parameter.master.mul_(25);
  }
  student.requantize();
  const at::Tensor ids = test::counting_batch(0, 3, 12);
  const std::vector<double> before = largest_logits(student.decoder(), ids);
  const double limit = median({before.begin(), before.begin() + kHeads});
  QkClip clip(student, limit);
  clip.watch();
  student.decoder().forward(ids);
  clip.apply(*make_self_communicator(), true);
  student.requantize();
  const std::vector<double> after = largest_logits(student.decoder(), ids);
  for (std::size_t head = 0; head < kHeads; ++head) EXPECT_LE(after[head], limit * 1.005);  // scales are fp16
}

}  // namespace
}  // namespace tercet
