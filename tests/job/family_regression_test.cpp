#include <gtest/gtest.h>

#include <limits>

#include "job/family_regression.hpp"

namespace tercet::job {
namespace {

const ElementFigures kAccepted{3.9, 4.0, 0.60, 8.0, 1000};

std::string verdict(const RegressionVerdict& judged, const std::string& name) {
  for (const GateResult& gate : judged.gates) {
    if (gate.name == name) return gate.verdict;
  }
  return "absent";
}

TEST(Regression, TheFirstNightHasNothingToCompareWithAndSaysSo) {
  const RegressionVerdict judged = judge_regression({}, "", std::nullopt, kAccepted);
  EXPECT_TRUE(judged.passed);
  EXPECT_TRUE(judged.gates.empty());
  EXPECT_NE(judged.sentence.find("nothing to compare with"), std::string::npos);
}

// 2 % of 4.0, 0.60 and 1000: 4.08, 0.588 and 1020.
TEST(Regression, EachFigureMayBeWorseByItsToleranceAndNoMore) {
  const auto judged = [](double perplexity, double accuracy, std::uint64_t bytes) {
    return judge_regression({}, "n1", kAccepted, {3.9, perplexity, accuracy, 8.0, bytes});
  };
  EXPECT_TRUE(judged(4.079, 0.5881, 1020).passed);
  EXPECT_EQ(verdict(judged(4.081, 0.60, 1000), "perplexity"), "fail");
  EXPECT_EQ(verdict(judged(4.0, 0.5879, 1000), "accuracy"), "fail");
  EXPECT_EQ(verdict(judged(4.0, 0.60, 1021), "packed_bytes"), "fail");
  EXPECT_FALSE(judged(4.081, 0.60, 1000).passed);
  EXPECT_TRUE(judged(2.0, 0.9, 10).passed) << "better is never a regression";
}

TEST(Regression, AMissOfSeverityWarnIsSaidAndPasses) {
  RegressionSection rules;
  rules.perplexity.severity = "warn";
  const RegressionVerdict judged = judge_regression(rules, "n1", kAccepted, {3.9, 9.0, 0.6, 8.0, 1000});
  EXPECT_TRUE(judged.passed);
  EXPECT_EQ(verdict(judged, "perplexity"), "fail");
  EXPECT_NE(judged.sentence.find("warning"), std::string::npos);
}

TEST(Regression, AGateThatIsOffIsNotJudged) {
  RegressionSection rules;
  rules.perplexity.severity = "off";
  const RegressionVerdict judged = judge_regression(rules, "n1", kAccepted, {3.9, 9.0, 0.6, 8.0, 1000});
  EXPECT_TRUE(judged.passed);
  EXPECT_EQ(verdict(judged, "perplexity"), "off");
}

TEST(Regression, WhatWasNotMeasuredOrIsNotFiniteFails) {
  for (const std::optional<double> perplexity :
       {std::optional<double>(), std::optional(std::nan("")), std::optional(std::numeric_limits<double>::infinity())}) {
    EXPECT_FALSE(judge_regression({}, "n1", kAccepted, {3.9, perplexity, 0.6, 8.0, 1000}).passed);
  }
  EXPECT_FALSE(judge_regression({}, "n1", ElementFigures{3.9, std::nullopt, 0.6, 8.0, 1000}, kAccepted).passed);
}

TEST(Regression, TheSentenceCarriesTheFiguresAndTellsWhenTextOrModelChanged) {
  const RegressionVerdict same = judge_regression({}, "n1", kAccepted, {3.9, 5.0, 0.6, 8.0, 1000});
  EXPECT_NE(same.sentence.find("perplexity 5.0000, accepted 4.0000, wants <= 4.0800"), std::string::npos)
      << same.sentence;
  EXPECT_EQ(same.sentence.find("another text"), std::string::npos);
  const RegressionVerdict moved = judge_regression({}, "n1", kAccepted, {4.9, 5.0, 0.6, 8.0, 1000});
  EXPECT_NE(moved.sentence.find("another text or model"), std::string::npos);
}

}  // namespace
}  // namespace tercet::job
