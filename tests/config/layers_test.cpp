// Formats of single layers, targets, stages and remedies.
#include <gtest/gtest.h>

#include "config/config_file.hpp"
#include "config/print.hpp"
#include "support/errors.hpp"

namespace tercet {
namespace {

TEST(Layers, ReadAsAListOfItems) {
  const JobConfig config = load(
      "quantization:\n"
      "  format: int3\n"
      "  layers:\n"
      "    - {role: down, format: int4, group_size: 32, symmetric: false, rule: min_max}\n"
      "    - {match: '*.0.*', format: float16}\n");
  ASSERT_EQ(config.quantization.layers.size(), 2u);
  const LayerFormat& down = config.quantization.layers[0];
  EXPECT_EQ(down.role, "down");
  EXPECT_EQ(down.format, "int4");
  EXPECT_EQ(down.group_size, 32);
  EXPECT_EQ(down.symmetric, "false");
  EXPECT_EQ(down.rule, "min_max");
  EXPECT_EQ(config.quantization.layers[1].match, "*.0.*");
}

TEST(Layers, InheritWhatTheyDoNotSay) {
  QuantizationSection settings;
  settings.format = "int3";
  settings.symmetric = false;
  settings.rule = "min_max";
  settings.group_size = 48;
  const QuantizationSection finer = as_for(settings, {.format = "int6"});
  EXPECT_EQ(finer.format, "int6");
  EXPECT_EQ(finer.group_size, 48);
  EXPECT_EQ(finer.rule, "min_max");
  EXPECT_FALSE(finer.symmetric);
  EXPECT_EQ(as_for(settings, {.group_size = 16}).format, "int3");
  const QuantizationSection ternary = as_for(settings, {.format = "ternary"});
  EXPECT_EQ(ternary.rule, "calibrated");  // min_max is no rule of trits
  EXPECT_TRUE(ternary.symmetric);
}

TEST(Layers, SayWhatIsWrongWithAnItem) {
  const auto wrong = [](const std::string& item, const std::string& base = "int3") {
    return mistakes("quantization:\n  format: " + base + "\n  layers:\n    - " + item + "\n");
  };
  EXPECT_MENTIONS(wrong("{format: int4}"), "job.yaml:4:7: quantization.layers[0]: names no matrix");
  EXPECT_MENTIONS(wrong("{role: donw, format: int4}"), "did you mean 'down'");
  EXPECT_MENTIONS(wrong("{role: down, format: int5}"), "quantization.layers[0].format: must be ternary");
  EXPECT_MENTIONS(wrong("{role: down, frmat: int4}"), "did you mean 'format'");
  EXPECT_MENTIONS(wrong("{role: down, rule: absmean}"), "absmean is no rule of int3");
  EXPECT_MENTIONS(wrong("{role: down, format: ternary, symmetric: false}"), "trits have no zero point");
  EXPECT_MENTIONS(wrong("{role: down, symmetric: no}"), "must be true | false");
  EXPECT_MENTIONS(wrong("{}"), "is empty");
  EXPECT_EQ(wrong("{role: down, format: float16}"), "");
}

TEST(Layers, OfAModelThatIsKeptHaveNoRuleToFit) {
  for (const char* rule : {"absmean", "min_max", "calibrated"}) {
    EXPECT_EQ(mistakes("quantization: {format: float16, rule: " + std::string(rule) + "}\n"), "");
  }
  EXPECT_EQ(mistakes("quantization: {format: float16, solver: compensated}\ntraining: {qk_clip: 50}\n"), "");
}

TEST(Layers, OfASolvedModelNeedTheCalibratedRule) {
  EXPECT_MENTIONS(mistakes("quantization:\n  solver: compensated\n  layers: [{role: up, rule: absmean}]\n"),
                  "needs rule: calibrated");
}

TEST(Target, IsOneOfFour) {
  EXPECT_FALSE(has_target({}));
  EXPECT_DOUBLE_EQ(load("target: {perplexity_degradation: 0.05}\n").target.perplexity_degradation, 0.05);
  EXPECT_DOUBLE_EQ(load("target: {size_mb: 1.8}\n").target.size_mb, 1.8);
  EXPECT_DOUBLE_EQ(load("target: {ratio: 8}\n").target.ratio, 8);
  EXPECT_TRUE(has_target(load("target: {like: int3}\n")));
  EXPECT_MENTIONS(mistakes("target:\n  ratio: 8\n  size_mb: 2\n"), "are two targets");
  EXPECT_MENTIONS(mistakes("target: {size_gb: 1}\n"), "did you mean 'target.size_mb'");
  EXPECT_MENTIONS(mistakes("target: {size_mb: -1}\n"), "at least 0");
}

TEST(Allocation, TakesNamesAndItems) {
  const JobConfig config = load(
      "target: {ratio: 8}\n"
      "allocation:\n"
      "  formats: [ternary, {format: int3, group_size: 32}, {role: down, format: int6}]\n"
      "  tables: [8, 4]\n");
  ASSERT_EQ(config.allocation.formats.size(), 3u);
  EXPECT_EQ(config.allocation.formats[0].format, "ternary");
  EXPECT_EQ(config.allocation.formats[1].group_size, 32);
  EXPECT_EQ(config.allocation.tables, (std::vector<std::string>{"8", "4"}));
  EXPECT_EQ(config::print_value(config.allocation.formats),
            "[ternary, {format: int3, group_size: 32}, {role: down, format: int6}]");
  EXPECT_MENTIONS(mistakes("target: {ratio: 8}\nallocation: {formats: []}\n"), "needs formats to choose from");
  EXPECT_MENTIONS(mistakes("allocation: {formats: [int5]}\n"), "allocation.formats[0]");
  EXPECT_MENTIONS(mistakes("allocation: {tables: [7]}\n"), "allocation.tables[0]");
}

// Integers that a solver fixed cannot be shrunk by QK-clip, whoever chose them.
TEST(Allocation, OfIntegersExcludesQkClip) {
  const std::string job = "quantization: {solver: compensated}\ntraining: {qk_clip: 50}\n";
  EXPECT_EQ(mistakes(job), "");
  EXPECT_MENTIONS(mistakes(job + "target: {ratio: 8}\n"), "cannot shrink query and key");
  EXPECT_EQ(mistakes(job + "target: {ratio: 8}\nallocation: {formats: [ternary, ternary5]}\n"), "");
}

TEST(Progressive, TakesStagesOfFewerAndFewerBits) {
  const JobConfig config = load("progressive: {formats: [int8, {format: int4, group_size: 64}, ternary]}\n");
  ASSERT_EQ(config.progressive.formats.size(), 3u);
  EXPECT_EQ(config.progressive.formats[1].group_size, 64);
  const std::string job = "progressive: {formats: ";
  EXPECT_MENTIONS(mistakes(job + "[int4]}\n"), "needs two stages or more");
  EXPECT_MENTIONS(mistakes(job + "[int4, int4]}\n"), "[1]: must have fewer bits than int4 before it");
  EXPECT_MENTIONS(mistakes(job + "[ternary, int2]}\n"), "must have fewer bits than ternary");
  EXPECT_MENTIONS(mistakes(job + "[int8, float16]}\n"), "must be ternary, ternary5, int2");
  EXPECT_MENTIONS(mistakes(job + "[int8, {role: up, format: int4}]}\n"), "a stage is for all of them");
  EXPECT_MENTIONS(mistakes(job + "[int8, int4]}\ntarget: {ratio: 8}\n"), "a target cannot be combined");
  EXPECT_MENTIONS(mistakes(job + "[int8, int4]}\ntraining: {enabled: false}\n"), "needs training.enabled");
  EXPECT_EQ(mistakes(job + "[int8, int4]}\ntraining: {enabled: false}\nblockwise: {enabled: true}\n"), "");
  EXPECT_MENTIONS(mistakes(job + "[int8, int4], last_share: 0.99}\ntraining: {tokens: 8192}\n"), "would get 0");
}

TEST(Progressive, OfSolvedIntegersExcludesQkClip) {
  const std::string job = "quantization: {solver: compensated}\ntraining: {qk_clip: 50}\n";
  EXPECT_MENTIONS(mistakes(job + "progressive: {formats: [int8, ternary]}\n"), "cannot shrink query and key");
  EXPECT_MENTIONS(mistakes(job + "remedies: {rounds: 1}\n"), "cannot shrink query and key");
  EXPECT_EQ(mistakes(job + "remedies: {rounds: 1, order: [more_training]}\n"), "");
}

TEST(Remedies, HaveABudgetThatHoldsAStepEach) {
  EXPECT_EQ(mistakes("remedies: {rounds: 2, tokens: 8192}\n"), "");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 3, tokens: 8192}\n"), "must give each of remedies.rounds (3) one step");
  EXPECT_EQ(mistakes("remedies: {rounds: 3, tokens: 8192}\ntraining: {enabled: false}\n"), "");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 1, order: []}\n"), "nothing can be tried");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 1, order: [group_size, group_size]}\n"), "[1]: is listed twice");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 1, order: [more_trainin]}\n"), "did you mean 'more_training'");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 1, order: [more_training]}\ntraining: {enabled: false}\n"),
                  "needs training.enabled");
  EXPECT_MENTIONS(mistakes("remedies: {rounds: 1}\ntarget: {ratio: 8}\n"), "must be [more_training] with a target");
  EXPECT_EQ(mistakes("remedies: {rounds: 1, order: [more_training]}\ntarget: {ratio: 8}\n"), "");
}

}  // namespace
}  // namespace tercet
