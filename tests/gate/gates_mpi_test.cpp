#include <gtest/gtest.h>

#include "support/mpi_main.hpp"
#include "tercet/gate/gates.hpp"

namespace tercet {
namespace {

// Only rank 0 measured: its verdict is everybody's.
TEST(JudgeOnRoot, TellsAllRanksWhatRankZeroDecided) {
  Measurements measured;
  if (test::world().is_root()) {
    measured.sparsity = 0.3;
    measured.parameters = 1000;
  }
  GatesSection rules;
  for (GateSetting* rule : {&rules.compression, &rules.accuracy, &rules.perplexity, &rules.agreement, &rules.speedup,
                            &rules.gradient_flow, &rules.handoff}) {
    rule->severity = "warn";
  }
  const Verdict verdict = judge_on_root(test::world(), rules, measured);
  EXPECT_TRUE(verdict.passed);
  ASSERT_EQ(verdict.gates.size(), 8u);
  EXPECT_EQ(verdict.gates[1].verdict, "pass");
  EXPECT_EQ(verdict.gates[1].value, 0.3);
  EXPECT_NE(verdict.gates[1].evidence.find("30.0 %"), std::string::npos);
}

}  // namespace
}  // namespace tercet
