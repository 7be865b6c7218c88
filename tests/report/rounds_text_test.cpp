#include "tercet/report/rounds_text.hpp"

#include <gtest/gtest.h>

#include "sample_run.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/report/glance.hpp"
#include "tercet/report/html_report.hpp"

namespace tercet {
namespace {

nlohmann::json round_named(const std::string& name, bool passed) {
  return {{"name", name},
          {"stage", 1},
          {"format", "int4"},
          {"remedy", ""},
          {"because", ""},
          {"did", ""},
          {"starts_from", "1-int8"},
          {"tokens", 4096},
          {"training_seconds", 12.5},
          {"packed_bytes", 123456},
          {"perplexity", 21.5},
          {"perplexity_growth", 0.075},
          {"passed", passed},
          {"failure", passed ? "" : "perplexity 0.3, wants <= 0.1"},
          {"afterwards", ""},
          {"artifact", ""}};
}

nlohmann::json two_rounds(const char* figures) {
  nlohmann::json third = round_named("3-lift_layers", false);
  third["remedy"] = "lift_layers";
  third["did"] = "2 matrices lifted: a to int6, b to int6";
  third["afterwards"] = "the budget of 1 rounds is used";
  return {{"list", {round_named("2-int4", true), third}},
          {"kept", "2-int4"},
          {"figures", figures},
          {"sentence", "2-int4 is kept"},
          {"budget", {{"rounds", 1}, {"tokens", 100}}}};
}

TEST(RoundsText, HasARowForEachRoundAndWhatWasTried) {
  RunRecord run;
  EXPECT_EQ(rounds_text(run), "");
  run.provenance[kRoundsKey] = two_rounds("2-int4");
  const std::string text = rounds_text(run);
  for (const char* part : {"rounds: 2-int4 is kept", "passed, kept", "int4, lift_layers", "123456", "+7.5",
                           "did: 2 matrices lifted: a to int6, b to int6", "failed: perplexity 0.3, wants <= 0.1",
                           "then: the budget of 1 rounds is used"})
    EXPECT_MENTIONS(text, part);
}

TEST(RoundsText, TakesRecordsOfAWrongShapeForNone) {
  RunRecord run;
  for (const nlohmann::json& wrong :
       {nlohmann::json(7), nlohmann::json{{"list", 3}}, nlohmann::json{{"list", {1, "x"}}}}) {
    run.provenance[kRoundsKey] = wrong;
    EXPECT_EQ(rounds_text(run), "");
    take_figures_of_round(run);
  }
}

TEST(RoundsText, GivesTheKeptRoundsFiguresTheirPlainNames) {
  const test::ScratchFolder scratch;
  {
    RunFile run(scratch.path(), true);
    run.metric({"training/loss", 1, 9, "nats"});  // of a first round in the run folder itself
    run.metric({"evaluation/before/perplexity", 0, 20, "1"});
    run.metric({"rounds/2-int4/training/loss", 1, 3, "nats"});
    run.metric({"rounds/2-int4/training/loss", 2, 2, "nats"});
    run.metric({"rounds/3-lift_layers/training/loss", 1, 1, "nats"});
    run.provenance(kRoundsKey, two_rounds("2-int4"));
  }
  const RunView view = view_run(scratch.path());
  const auto loss = series_of(view.record, "training/loss");
  ASSERT_EQ(loss.size(), 2u);
  EXPECT_EQ(loss[1].value, 2);
  EXPECT_EQ(last_of(view.record, "evaluation/before/perplexity")->value, 20);
  EXPECT_EQ(last_of(view.record, "rounds/3-lift_layers/training/loss")->value, 1);
  EXPECT_FALSE(last_of(view.record, "rounds/2-int4/training/loss"));
  const std::string page = html_report(view);
  EXPECT_MENTIONS(page, "<section id=\"rounds\">");
  EXPECT_MENTIONS(page, "<data data-key=\"/rounds/list/0/perplexity\" value=\"21.5\">21.500</data>");
  EXPECT_MENTIONS(page, "2 matrices lifted");
  EXPECT_EQ(report_json(view).at("rounds").at("list").at(0).at("perplexity"), 21.5);
}

TEST(RoundsText, LeavesAnOrdinaryRunAsItIs) {
  const test::ScratchFolder scratch;
  test::record_sample_run(scratch.path(), true);
  const RunView view = view_run(scratch.path());
  EXPECT_EQ(series_of(view.record, "training/loss").size(), 30u);
  EXPECT_TRUE(report_json(view).at("rounds").is_null());
  EXPECT_EQ(html_report(view).find("id=\"rounds\""), std::string::npos);
}

TEST(RoundsText, KnowsASeriesWithoutItsRound) {
  EXPECT_EQ(without_round("rounds/2-int4/training/loss"), "training/loss");
  EXPECT_EQ(without_round("training/loss"), "training/loss");
  EXPECT_EQ(without_round("rounds/"), "rounds/");
}

// Whoever watches sees the round under way.
TEST(Glance, ShowsTheFiguresOfTheRoundUnderWay) {
  const test::ScratchFolder scratch;
  {
    RunFile run(scratch.path(), true);
    run.metric({"rounds/1-int8/training/loss", 5, 3, "nats"});
    run.metric({"rounds/2-int4/training/loss", 1, 2.5, "nats"});
  }
  RunWatcher watcher(scratch.path(), {});
  EXPECT_EQ(watcher.look().value("training/loss"), 2.5);
}

}  // namespace
}  // namespace tercet
