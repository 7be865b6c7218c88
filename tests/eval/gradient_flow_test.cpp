#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tercet/eval/evaluate.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

const Windows kWindows{16, 16, test::counting_sample};

class GradientFlowOf : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, GradientFlowOf,
                         ::testing::Values(Family::kLlama, Family::kQwen2, Family::kQwen3, Family::kGpt2,
                                           Family::kGptNeox),
                         [](const auto& instance) { return to_string(instance.param); });

TEST_P(GradientFlowOf, ReachesEveryParameterOfAWholeModel) {
  const Decoder model = Decoder::random(test::tiny_config(GetParam()), 1);
  const GradientFlow flow = check_gradient_flow(model, kWindows, 8);
  EXPECT_TRUE(flow.passed) << (flow.problems.empty() ? "" : flow.problems[0]);
  EXPECT_EQ(flow.tensors, static_cast<std::int64_t>(model.parameters().size()));
  EXPECT_GT(flow.smallest_norm, 0);
  EXPECT_GE(flow.largest_norm, flow.smallest_norm);
}

TEST_P(GradientFlowOf, ComesToTheSameBlockByBlock) {
  const Decoder model = Decoder::random(test::tiny_config(GetParam()), 1);
  const GradientFlow whole = check_gradient_flow(model, kWindows, 4);
  const GradientFlow by_block = check_gradient_flow(test::streamed(model), kWindows, 4);
  EXPECT_EQ(by_block.problems, whole.problems);
  EXPECT_EQ(by_block.tensors, whole.tensors);
  EXPECT_DOUBLE_EQ(by_block.smallest_norm, whole.smallest_norm);
  EXPECT_DOUBLE_EQ(by_block.largest_norm, whole.largest_norm);
}

TEST(GradientFlow, NamesTheTensorsThatAZeroedProjectionCutsOff) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  test::find_parameter(model, "model.layers.1.mlp.down_proj.weight").value.zero_();
  const GradientFlow flow = check_gradient_flow(model, kWindows, 8);
  EXPECT_FALSE(flow.passed);
  std::vector<std::string> problems = flow.problems;
  std::sort(problems.begin(), problems.end());
  EXPECT_EQ(problems, (std::vector<std::string>{"model.layers.1.mlp.gate_proj.weight: all zero",
                                                "model.layers.1.mlp.up_proj.weight: all zero",
                                                "model.layers.1.post_attention_layernorm.weight: all zero"}));
  EXPECT_EQ(flow.smallest_norm, 0);
}

TEST(GradientFlow, NamesTensorsWhoseGradientIsNotFinite) {
  Decoder model = Decoder::random(test::tiny_config(), 1);
  test::find_parameter(model, "model.norm.weight").value[3] = std::numeric_limits<float>::infinity();
  const GradientFlow flow = check_gradient_flow(model, kWindows, 8);
  EXPECT_FALSE(flow.passed);
  EXPECT_NE(std::find(flow.problems.begin(), flow.problems.end(), "lm_head.weight: not finite"), flow.problems.end());
}

TEST(GradientFlow, IsMeasuredWhereGradientsAreSwitchedOffAndLeavesTheModelAlone) {
  const at::NoGradGuard no_grad;
  const Decoder model = Decoder::random(test::tiny_config(), 1);
  EXPECT_TRUE(check_gradient_flow(model, kWindows, 4).passed);
  for (const Parameter& parameter : model.parameters()) EXPECT_FALSE(parameter.value.requires_grad());
}

}  // namespace
}  // namespace tercet
