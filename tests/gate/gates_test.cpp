#include "tercet/gate/gates.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "gate/sample_speed.hpp"

namespace tercet {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A tiny model: the target is 6x. 1,000,000 parameters in 600,000 B: 6.67x against fp32, 3.33x against fp16.
Measurements good() {
  Measurements measured;
  measured.parameters = 1000000;
  measured.packed_bytes = 600000;
  measured.fp32_bytes = 4000000;
  measured.fp16_bytes = 2000000;
  measured.file_bytes = 4000500;
  measured.sparsity = 0.31;
  measured.accuracy_before = 0.40;
  measured.accuracy_after = 0.39;
  measured.perplexity_before = 10.0;
  measured.perplexity_after = 11.0;
  measured.agreement = 0.999;
  measured.speed = test::sample_speed();
  measured.gradient_flow = true;
  measured.gradient_flow_evidence = "57 of 57 tensors";
  measured.handoff = true;
  measured.handoff_evidence = "5 of 5 files";
  return measured;
}

GateResult gate(const Verdict& verdict, const std::string& name) {
  const auto found =
      std::find_if(verdict.gates.begin(), verdict.gates.end(), [&](const auto& g) { return g.name == name; });
  if (found == verdict.gates.end()) throw std::runtime_error("no gate " + name);
  return *found;
}

// The gate's result when one measurement is changed.
GateResult judged(const std::string& name, const std::function<void(Measurements&)>& change,
                  const GatesSection& rules = {}) {
  Measurements measured = good();
  change(measured);
  return gate(judge(rules, measured), name);
}

TEST(Gates, AllPassForAGoodModelInTheOrderOfTheDocument) {
  const Verdict verdict = judge({}, good());
  EXPECT_TRUE(verdict.passed);
  std::vector<std::string> names;
  for (const GateResult& result : verdict.gates) {
    EXPECT_EQ(result.verdict, "pass") << result.name;
    names.push_back(result.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"compression", "sparsity", "accuracy", "perplexity", "agreement",
                                             "speedup", "gradient_flow", "handoff"}));
}

TEST(Gates, NothingMeasuredPassesNothing) {
  const Verdict verdict = judge({}, {});
  EXPECT_FALSE(verdict.passed);
  for (const GateResult& result : verdict.gates) {
    EXPECT_EQ(result.verdict, "fail") << result.name;
    EXPECT_TRUE(std::isnan(result.value)) << result.name;
    EXPECT_NE(result.evidence.find("not "), std::string::npos) << result.evidence;
  }
}

TEST(Gates, NeverPassOnNaNOrInfinity) {
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    EXPECT_EQ(judged("sparsity", [=](auto& m) { m.sparsity = bad; }).verdict, "fail") << bad;
    EXPECT_EQ(judged("accuracy", [=](auto& m) { m.accuracy_after = bad; }).verdict, "fail") << bad;
    EXPECT_EQ(judged("accuracy", [=](auto& m) { m.accuracy_before = bad; }).verdict, "fail") << bad;
    EXPECT_EQ(judged("perplexity", [=](auto& m) { m.perplexity_after = bad; }).verdict, "fail") << bad;
    EXPECT_EQ(judged("perplexity", [=](auto& m) { m.perplexity_before = bad; }).verdict, "fail") << bad;
    EXPECT_EQ(judged("agreement", [=](auto& m) { m.agreement = bad; }).verdict, "fail") << bad;
  }
}

TEST(CompressionGate, TakesTheTargetOfTheSizeCategoryWhenNoneIsSet) {
  const auto comparison = [](std::int64_t parameters) {
    return judged("compression", [=](auto& m) { m.parameters = parameters; }).comparison;
  };
  EXPECT_EQ(comparison(49999999), ">= 6");
  EXPECT_EQ(comparison(50000000), ">= 8");
  EXPECT_EQ(comparison(500000000), ">= 10");
  EXPECT_EQ(comparison(2000000000), ">= 12");
}

TEST(CompressionGate, TakesTheThresholdThatTheUserSet) {
  GatesSection rules;
  rules.compression.threshold = 7;
  const GateResult result = judged(
      "compression", [](auto&) {}, rules);
  EXPECT_EQ(result.verdict, "fail");  // 6.67 < 7
  EXPECT_EQ(result.threshold, 7);
}

TEST(CompressionGate, CountsTheChosenBaseline) {
  GatesSection rules;
  rules.compression_baseline = "fp16";
  EXPECT_NEAR(judged(
                  "compression", [](auto&) {}, rules)
                  .value,
              2000000.0 / 600000.0, 1e-12);
  EXPECT_EQ(judged(
                "compression", [](auto&) {}, rules)
                .verdict,
            "fail");
  rules.compression_baseline = "file";
  EXPECT_NEAR(judged(
                  "compression", [](auto&) {}, rules)
                  .value,
              4000500.0 / 600000.0, 1e-12);
  rules.compression_baseline = "fp32";
  EXPECT_NEAR(judged(
                  "compression", [](auto&) {}, rules)
                  .value,
              4000000.0 / 600000.0, 1e-12);
}

TEST(CompressionGate, AlwaysReportsAllThreeRatiosWithTheirBytes) {
  const std::string evidence = judged("compression", [](auto&) {}).evidence;
  for (const char* figure : {"600 000 B", "fp32 4 000 000 B = 6.67x", "fp16 2 000 000 B = 3.33x", "4 000 500 B = 6.67x",
                             "counts fp32", "6x", "tiny", "1 000 000 parameters"}) {
    EXPECT_NE(evidence.find(figure), std::string::npos) << figure << " in: " << evidence;
  }
}

TEST(CompressionGate, FailsForAFileOrABaselineOfNoBytes) {
  EXPECT_EQ(judged("compression", [](auto& m) { m.packed_bytes = 0; }).verdict, "fail");
  EXPECT_EQ(judged("compression", [](auto& m) { m.fp32_bytes = 0; }).verdict, "fail");
}

TEST(SparsityGate, HasTwoEnds) {
  const auto verdict = [](double value) { return judged("sparsity", [=](auto& m) { m.sparsity = value; }).verdict; };
  EXPECT_EQ(verdict(0.2499), "fail");
  EXPECT_EQ(verdict(0.25), "pass");
  EXPECT_EQ(verdict(0.45), "pass");
  EXPECT_EQ(verdict(0.4501), "fail");
  EXPECT_EQ(judged("sparsity", [](auto&) {}).comparison, "0.25 to 0.45");
}

TEST(AccuracyGate, ComparesTheShareThatWasKept) {
  const GateResult result = judged("accuracy", [](auto&) {});
  EXPECT_NEAR(result.value, 0.975, 1e-12);
  EXPECT_NE(result.evidence.find("0.4000 before, 0.3900 after (97.5 %"), std::string::npos) << result.evidence;
  EXPECT_EQ(judged("accuracy", [](auto& m) { m.accuracy_after = 0.37; }).verdict, "fail");
  EXPECT_EQ(judged("accuracy", [](auto& m) { m.accuracy_before = 0.0; }).verdict, "fail");
}

TEST(AccuracyGate, SaysWhoseAccuracyItIs) {
  GatesSection rules;
  rules.accuracy_task = "hellaswag";
  rules.accuracy_metric = "acc_norm";
  Measurements measured;
  measured.accuracy_before = 0.5;
  measured.accuracy_after = 0.49;
  const auto of = [&] {
    for (const GateResult& gate : judge(rules, measured).gates) {
      if (gate.name == "accuracy") return gate;
    }
    return GateResult{};
  };
  EXPECT_EQ(of().verdict, "pass");
  EXPECT_EQ(of().evidence, "acc_norm of hellaswag: 0.5000 before, 0.4900 after (98.0 % of it kept)");
  measured.accuracy_after.reset();
  EXPECT_EQ(of().verdict, "fail");
  EXPECT_EQ(of().evidence, "acc_norm of hellaswag was not measured");
}

TEST(PerplexityGate, AllowsExactlyItsThreshold) {
  EXPECT_EQ(judged("perplexity", [](auto&) {}).verdict, "pass");  // (11 - 10) / 10 = 0.1
  EXPECT_EQ(judged("perplexity", [](auto& m) { m.perplexity_after = 11.01; }).verdict, "fail");
  const GateResult better = judged("perplexity", [](auto& m) { m.perplexity_after = 9.5; });
  EXPECT_EQ(better.verdict, "pass");
  EXPECT_NE(better.evidence.find("10.000 before, 9.500 after (-5.0 %)"), std::string::npos) << better.evidence;
}

TEST(AgreementGate, WantsAlmostEveryPosition) {
  EXPECT_EQ(judged("agreement", [](auto& m) { m.agreement = 0.995; }).verdict, "pass");
  EXPECT_EQ(judged("agreement", [](auto& m) { m.agreement = 0.9949; }).verdict, "fail");
}

TEST(SpeedupGate, ComparesWithTheFasterFormOfTheOriginalUnlessToldOtherwise) {
  GatesSection rules;
  const auto value = [&](const std::string& baseline) {
    rules.speedup_baseline = baseline;
    return judged(
               "speedup", [](auto&) {}, rules)
        .value;
  };
  EXPECT_EQ(value("faster"), 3.0);  // 1200 / 400; bf16 is the slower one here
  EXPECT_EQ(value("fp32"), 3.0);
  EXPECT_EQ(value("bf16"), 4.0);
  rules.speedup_baseline = "faster";
  const auto swapped = [](auto& m) { m.speed->bf16.median = 600; };
  EXPECT_EQ(judged("speedup", swapped, rules).value, 2.0);
}

TEST(SpeedupGate, WantsTwiceTheSpeedAndOnlyWarnsByItself) {
  EXPECT_EQ(judged("speedup", [](auto& m) { m.speed->packed.median = 800; }).verdict, "pass");
  Measurements measured = good();
  measured.speed->packed.median = 799;
  const Verdict verdict = judge({}, measured);
  EXPECT_EQ(gate(verdict, "speedup").verdict, "fail");
  EXPECT_EQ(gate(verdict, "speedup").severity, "warn");
  EXPECT_EQ(gate(verdict, "speedup").comparison, ">= 2");
  EXPECT_TRUE(verdict.passed);
  GatesSection rules;
  rules.speedup.severity = "fail";
  EXPECT_FALSE(judge(rules, measured).passed);
}

TEST(SpeedupGate, SaysWhatWasMeasuredWhereAndWhetherFromTheCache) {
  const auto evidence = [](const std::function<void(Measurements&)>& change) {
    return judged("speedup", change).evidence;
  };
  const std::string in_cache = evidence([](auto&) {});
  for (const char* part : {"1200.0 tokens/s (1100.0 to 1250.0) packed", "400.0 tokens/s (390.0 to 410.0) in fp32",
                           "300.0 tokens/s (290.0 to 310.0) in bf16", "3.00x of fp32, the faster one",
                           "9 rounds of 64 tokens on Some Processor, kernels avx2, 1 thread;",
                           "all weights fit into the last-level cache of 32.0 MB"})
    EXPECT_NE(in_cache.find(part), std::string::npos) << part << " in: " << in_cache;
  const auto with_cache = [&](std::uint64_t bytes) {
    return evidence([=](auto& m) { m.speed->last_level_cache = bytes; });
  };
  EXPECT_NE(with_cache(1000000).find("those of the original do not"), std::string::npos) << with_cache(1000000);
  EXPECT_NE(with_cache(1000).find("come from memory"), std::string::npos) << with_cache(1000);
  EXPECT_NE(with_cache(0).find("is not known"), std::string::npos) << with_cache(0);
  const std::string on_gpu = evidence([](auto& m) { m.speed->device = "cuda:0"; });
  EXPECT_NE(on_gpu.find("on Some Processor (cuda:0);"), std::string::npos) << on_gpu;
}

TEST(SpeedupGate, OfAModelWithoutKernelsIsNotMeasuredAndSaysWhy) {
  const auto refused = [](auto& m) { m.speed = DecodeSpeed{.refusal = "it is a Conv1D"}; };
  const GateResult result = judged("speedup", refused);
  EXPECT_EQ(result.verdict, "fail");
  EXPECT_TRUE(std::isnan(result.value));
  EXPECT_EQ(result.evidence, "inference speed was not measured: it is a Conv1D");
  for (const double bad : {0.0, kNaN, kInfinity})
    EXPECT_EQ(judged("speedup", [=](auto& m) { m.speed->packed.median = bad; }).verdict, "fail") << bad;
  EXPECT_EQ(judged("speedup", [](auto& m) { m.speed->fp32.median = m.speed->bf16.median = 0; }).verdict, "fail");
}

TEST(CheckGates, FailWhenTheCheckFailedAndKeepItsEvidence) {
  const GateResult flow = judged("gradient_flow", [](auto& m) { m.gradient_flow = false; });
  EXPECT_EQ(flow.verdict, "fail");
  EXPECT_EQ(flow.evidence, "57 of 57 tensors");
  EXPECT_EQ(judged("handoff", [](auto& m) { m.handoff = false; }).verdict, "fail");
}

TEST(Severity, OfWarnLetsTheRunPassButNotTheGate) {
  GatesSection rules;
  rules.sparsity.severity = "warn";
  Measurements measured = good();
  measured.sparsity = 0.6;
  const Verdict verdict = judge(rules, measured);
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(gate(verdict, "sparsity").verdict, "fail");
}

TEST(Severity, OffIsNoVerdictButStillShowsTheFigures) {
  GatesSection rules;
  rules.sparsity.severity = "off";
  Measurements measured = good();
  measured.sparsity = 0.6;
  const Verdict verdict = judge(rules, measured);
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(gate(verdict, "sparsity").verdict, "off");
  EXPECT_EQ(gate(verdict, "sparsity").value, 0.6);
  EXPECT_NE(gate(verdict, "sparsity").evidence.find("60.0 %"), std::string::npos);
}

TEST(JudgeOnRoot, GivesTheSameVerdictAsJudgeAlsoWithNaN) {
  const auto comm = make_self_communicator();
  Measurements measured = good();
  measured.agreement = std::nullopt;
  const Verdict direct = judge({}, measured), agreed = judge_on_root(*comm, {}, measured);
  EXPECT_EQ(agreed.passed, direct.passed);
  ASSERT_EQ(agreed.gates.size(), direct.gates.size());
  for (std::size_t i = 0; i < direct.gates.size(); ++i) {
    EXPECT_EQ(agreed.gates[i].name, direct.gates[i].name);
    EXPECT_EQ(agreed.gates[i].verdict, direct.gates[i].verdict);
    EXPECT_EQ(agreed.gates[i].severity, direct.gates[i].severity);
    EXPECT_EQ(agreed.gates[i].comparison, direct.gates[i].comparison);
    EXPECT_EQ(agreed.gates[i].threshold, direct.gates[i].threshold);
    EXPECT_EQ(agreed.gates[i].evidence, direct.gates[i].evidence);
    EXPECT_TRUE(agreed.gates[i].value == direct.gates[i].value || std::isnan(direct.gates[i].value));
  }
}

}  // namespace
}  // namespace tercet
