#include "tercet/train/student.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tercet/base/error.hpp"
#include "tercet/train/loss.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

at::Tensor as_stored(const TrainedParameter& parameter) {
  const at::Tensor matrix = as_output_first(parameter.master.detach(), parameter.input_first);
  const at::Tensor value = dequantize(store(matrix, *parameter.spec, parameter.calibration));
  return parameter.input_first ? value.t().contiguous() : value;
}

void expect_seen_is_what_is_stored(const Student& student) {
  for (std::size_t i = 0; i < student.parameters().size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    EXPECT_TRUE(at::equal(parameter.seen.detach(), as_stored(parameter))) << parameter.name;
    EXPECT_TRUE(student.decoder().parameters()[i].value.is_same(parameter.seen)) << parameter.name;
  }
}

class StudentOf : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, StudentOf, ::testing::Values(Family::kLlama, Family::kGpt2, Family::kGptNeox),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(StudentOf, SeesExactlyWhatTheStoredFormStandsFor) {
  expect_seen_is_what_is_stored(test::ternary_student(1, GetParam()));
}

// The original's codes were made once and never again.
TEST_P(StudentOf, SeesTheNewCodesAfterTheMastersMoved) {
  Student student = test::ternary_student(1, GetParam());
  std::vector<at::Tensor> before;
  for (const TrainedParameter& parameter : student.parameters()) before.push_back(parameter.seen.detach().clone());
  {
    const at::NoGradGuard no_grad;
    for (TrainedParameter& parameter : student.parameters()) {
      parameter.master.add_(test::normal(9, parameter.master.sizes(), 0.05));
    }
  }
  student.requantize();
  expect_seen_is_what_is_stored(student);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_FALSE(at::equal(student.parameters()[i].seen.detach(), before[i])) << student.parameters()[i].name;
  }
}

TEST(Student, KeepsParametersWithoutAFormatInFullPrecision) {
  const Student student = test::plain_student();
  for (const TrainedParameter& parameter : student.parameters()) {
    EXPECT_TRUE(parameter.seen.is_same(parameter.master)) << parameter.name;
  }
}

std::vector<at::Tensor> gradients_of(Decoder& decoder) {
  for (Parameter& parameter : decoder.parameters()) parameter.value.mutable_grad().reset();
  const at::Tensor ids = test::counting_batch(0, 2, 12);
  distillation_loss(decoder.forward(ids), {}, ids, 0, 1).loss.backward();
  std::vector<at::Tensor> gradients;
  for (const Parameter& parameter : decoder.parameters()) gradients.push_back(parameter.value.grad());
  return gradients;
}

// The straight-through estimator: quantization adds nothing to the gradient and takes nothing from it.
TEST(Student, GetsTheGradientOfAnUnquantizedModelWithTheSeenValues) {
  Student student = test::ternary_student();
  Decoder plain = student.decoder().clone();
  for (Parameter& parameter : plain.parameters()) parameter.value.set_requires_grad(true);
  const auto expected = gradients_of(plain);
  const auto got = gradients_of(student.decoder());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_TRUE(got[i].defined()) << student.parameters()[i].name;
    EXPECT_TRUE(at::equal(got[i], expected[i])) << student.parameters()[i].name;
    EXPECT_GT(got[i].abs().max().item<double>(), 0) << student.parameters()[i].name;
  }
}

TEST(Student, GoesBackToCopiedMastersToTheBit) {
  Student student = test::ternary_student();
  const auto masters = student.copy_masters();
  std::vector<at::Tensor> seen;
  for (const TrainedParameter& parameter : student.parameters()) seen.push_back(parameter.seen.detach().clone());
  {
    const at::NoGradGuard no_grad;
    for (TrainedParameter& parameter : student.parameters()) parameter.master.mul_(1.5).add_(0.1);
  }
  student.requantize();
  student.restore_masters(masters);
  for (std::size_t i = 0; i < masters.size(); ++i) {
    EXPECT_TRUE(at::equal(student.parameters()[i].master.detach(), masters[i]));
    EXPECT_TRUE(at::equal(student.parameters()[i].seen.detach(), seen[i]));
  }
}

TEST(Student, AtHalfHardnessIsSeenHalfWayBetweenMastersAndQuantizedValues) {
  Student student = test::ternary_student();
  std::vector<at::Tensor> hard;
  for (const TrainedParameter& parameter : student.parameters()) hard.push_back(parameter.seen.detach().clone());
  student.requantize(0.5);
  for (std::size_t i = 0; i < hard.size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    const at::Tensor middle = (hard[i] + parameter.master.detach()) / 2;
    const at::Tensor& expected = is_block_linear(parameter.role) ? middle : hard[i];
    EXPECT_LE((parameter.seen.detach() - expected).abs().max().item<double>(), 1e-7) << parameter.name;
  }
  student.requantize();
  for (std::size_t i = 0; i < hard.size(); ++i) {
    EXPECT_TRUE(at::equal(student.parameters()[i].seen.detach(), hard[i]));
  }
}

TEST(Student, RefusesAPlanOfAnotherLength) {
  Decoder decoder = Decoder::random(test::tiny_config(), 1);
  EXPECT_THROW(Student(std::move(decoder), {}), DataError);
}

}  // namespace
}  // namespace tercet
