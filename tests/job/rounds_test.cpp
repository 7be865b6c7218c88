#include "job/rounds.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using job::RoundOutcome;

JobConfig progressive_job() {
  JobConfig config;
  config.progressive.formats = {{.format = "int8"}, {.format = "int4", .group_size = 64}, {.format = "ternary"}};
  config.training.tokens = 100 * config.training.global_batch_tokens;
  config.training.polish_tokens = 2 * config.training.global_batch_tokens;
  return config;
}

RoundOutcome outcome_of(const std::string& name, std::vector<std::string> failed, double perplexity = 20) {
  RoundOutcome outcome;
  outcome.round.name = name;
  outcome.results.before.perplexity = 16;
  outcome.results.packed.perplexity = perplexity;
  outcome.gates = {{"handoff", "pass", "fail", 1, 1, ">= 1", ""},
                   {"accuracy", "fail", "warn", 0.5, 0.95, ">= 0.95", ""}};
  for (const std::string& gate : failed) outcome.gates.push_back({gate, "fail", "fail", 0.31, 0.1, "<= 0.1", "why"});
  return outcome;
}

TEST(Stages, HaveTheirFormatsAndShareTheTokens) {
  const JobConfig config = progressive_job();
  std::int64_t tokens = 0;
  std::vector<std::string> names;
  std::vector<std::int64_t> steps;
  for (std::size_t stage = 0; stage < 3; ++stage) {
    const job::Round round = job::round_of_stage(config, stage, stage + 1, stage == 0 ? "" : names.back());
    names.push_back(round.name);
    steps.push_back(round.tokens / config.training.global_batch_tokens);
    tokens += round.tokens;
    EXPECT_EQ(round.quantization.group_size, stage == 1 ? 64 : 128);
    EXPECT_FALSE(round.in_run_folder);
    EXPECT_EQ(round.polish_tokens, stage == 2 ? 2 * config.training.global_batch_tokens : 0);  // whole steps
  }
  EXPECT_EQ(names, (std::vector<std::string>{"1-int8", "2-int4", "3-ternary"}));
  EXPECT_EQ(steps, (std::vector<std::int64_t>{20, 20, 60}));
  EXPECT_EQ(tokens, config.training.tokens);
}

TEST(Stages, AreOneInAnOrdinaryJob) {
  JobConfig config;
  config.training.tokens = 12345;
  const job::Round round = job::round_of_stage(config, 0, 1, "");
  EXPECT_TRUE(round.in_run_folder);
  EXPECT_EQ(round.tokens, 12345);
  EXPECT_EQ(round.quantization.format, "ternary");
}

TEST(Rounds, KeepTheLastThatPassed) {
  EXPECT_EQ(
      job::round_to_keep({outcome_of("1-int8", {}), outcome_of("2-int4", {}), outcome_of("3-ternary", {"perplexity"})}),
      1u);
  EXPECT_EQ(job::round_to_keep({outcome_of("1-int8", {}), outcome_of("2-int4", {})}), 1u);
  EXPECT_EQ(job::round_to_keep({outcome_of("1-int8", {}), outcome_of("2-int4", {"perplexity"})}), 0u);
}

TEST(Rounds, KeepTheLeastBadWhereNonePassed) {
  EXPECT_EQ(job::round_to_keep({outcome_of("a", {"perplexity", "accuracy"}, 19), outcome_of("b", {"perplexity"}, 21),
                                outcome_of("c", {"perplexity"}, 20)}),
            2u);
  RoundOutcome diverged = outcome_of("b", {});
  diverged.error = "training diverged";
  EXPECT_EQ(job::round_to_keep({outcome_of("a", {"perplexity"}), diverged}), 0u);
}

TEST(Rounds, GoOnToASmallerFormatWhereSizeAloneFailed) {
  EXPECT_TRUE(job::next_stage_may_pass(outcome_of("1-int8", {"compression"})));
  EXPECT_FALSE(job::next_stage_may_pass(outcome_of("1-int8", {"compression", "perplexity"})));
  EXPECT_FALSE(job::next_stage_may_pass(outcome_of("1-int8", {"sparsity"})));
  RoundOutcome diverged = outcome_of("1-int8", {});
  diverged.error = "training diverged";
  EXPECT_FALSE(job::next_stage_may_pass(diverged));
}

TEST(Rounds, SayWhatWasKeptAndWhy) {
  const RoundOutcome good = outcome_of("2-int4", {}), bad = outcome_of("3-ternary", {"perplexity"});
  EXPECT_EQ(job::sentence_of({good, bad}),
            "2-int4 is kept, where every gate passed; 3-ternary failed: perplexity 0.31, wants <= 0.1");
  EXPECT_EQ(job::sentence_of({good}), "every gate passed in 2-int4");
  RoundOutcome last = bad;
  last.afterwards = "the budget of 2 rounds is used";
  EXPECT_EQ(job::sentence_of({last}),
            "no round passed; the artifacts of 3-ternary are in rejected/: perplexity 0.31, wants <= 0.1 "
            "(the budget of 2 rounds is used)");
  RoundOutcome diverged = outcome_of("4-more_training", {});
  diverged.error = "training diverged";
  EXPECT_MENTIONS(job::sentence_of({bad, diverged}), "(4-more_training: training diverged)");
  RoundOutcome remedied = outcome_of("4-more_training", {});
  remedied.round.remedy = "more_training";
  remedied.round.because = bad.failure();
  EXPECT_EQ(job::sentence_of({bad, remedied}),
            "every gate passed in 4-more_training, after more_training because of perplexity 0.31, wants <= 0.1");
}

TEST(RoundOutcome, SurvivesTheDisk) {
  RoundOutcome outcome = outcome_of("2-int4", {"perplexity"});
  outcome.gates.push_back({"compression", "fail", "warn", std::nan(""), 6, ">= 6", "not measured"});
  outcome.layers = {{"a.weight", "query", "int4", 64, 32, 16, 4.5, -0.25, 0.1, 1.0 / 3, 0, 0.125, std::nan("")}};
  outcome.trits = nlohmann::json::array();
  outcome.tokens = 4096;
  outcome.seconds = 1.5;
  outcome.afterwards = "lift_layers is tried";
  const std::string text = to_json(outcome).dump();
  const RoundOutcome again = job::outcome_from_json(outcome.round, nlohmann::json::parse(text));
  EXPECT_EQ(to_json(again).dump(), text);
  EXPECT_EQ(again.layers.at(0).scale_max, 1.0 / 3);
  EXPECT_TRUE(std::isnan(again.gates.back().value));
  EXPECT_EQ(again.failure(), "perplexity 0.31, wants <= 0.1");
}

TEST(RoundOutcome, OfAnotherRoundOrDamagedIsRefused) {
  const RoundOutcome outcome = outcome_of("2-int4", {});
  job::Round other = outcome.round;
  other.name = "3-ternary";
  EXPECT_MENTIONS(test::message_of<StoreError>([&] { job::outcome_from_json(other, to_json(outcome)); }),
                  "another round");
  EXPECT_MENTIONS(test::message_of<StoreError>([&] {
                    job::outcome_from_json(outcome.round, {{"name", "2-int4"}});
                  }),
                  "round '2-int4' cannot be read");
}

TEST(RoundsRecord, NamesTheArtifactOfEachWhileTheJobRunsAndTheKeptOneAfterwards) {
  JobConfig config = progressive_job();
  config.remedies.rounds = 2;
  const std::vector<RoundOutcome> rounds = {outcome_of("1-int8", {}), outcome_of("2-int4", {"perplexity"})};
  const nlohmann::json running = job::rounds_record(config, rounds, job::round_of_stage(config, 2, 3, "2-int4"), false);
  EXPECT_EQ(running.at("list").at(0).at("artifact"), "rounds/1-int8/artifacts");
  EXPECT_EQ(running.at("list").at(1).at("artifact"), "rounds/2-int4/rejected");
  EXPECT_TRUE(running.at("kept").is_null());
  EXPECT_EQ(running.at("figures"), "3-ternary");
  const nlohmann::json over = job::rounds_record(config, rounds, {}, true);
  EXPECT_EQ(over.at("kept"), "1-int8");
  EXPECT_EQ(over.at("list").at(0).at("artifact"), "artifacts");
  EXPECT_EQ(over.at("list").at(1).at("artifact"), "");
  EXPECT_DOUBLE_EQ(over.at("list").at(0).at("perplexity_growth").get<double>(), 0.25);
  EXPECT_EQ(over.at("budget").at("rounds"), 2);
}

}  // namespace
}  // namespace tercet
