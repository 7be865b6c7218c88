// The table of a study, from given results.
#include "job/study_table.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "job/study_report.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"

namespace tercet::job {
namespace {

struct Study : testing::Test {
  // Three rows (the last the control) and two seeds, on a model of perplexity 20.
  explicit Study(const std::string& more = "") {
    test::write_text_file(folder / "study.yaml",
                          "output: out\nseeds: [1, 2]\n"
                          "settings: {model: {path: m}, data: {sources: [text]}, training: {tokens: 8192}}\n"
                          "rows: [{name: first}, {name: second, set: {training.distillation: 1}}" +
                              more + "]\n");
    study = load_study_config(folder / "study.yaml", {});
    for (const StudyElement& element : study.elements) {
      outcomes.push_back({element.name, element.row, element.config.seed, "not started", "", "", {}});
    }
  }

  StudyOutcome& outcome(const std::string& name) {
    for (StudyOutcome& each : outcomes) {
      if (each.name == name) return each;
    }
    throw std::out_of_range(name);
  }

  void measure(const std::string& name, double packed, double seconds = 10, double speed = 1000) {
    StudyFigures figures;
    figures.results.before.perplexity = 20;
    figures.results.packed = {std::log(packed), packed, 0.3, 0.7, 0.1};
    figures.results.packed_bytes = 1000;
    figures.results.fine_tuning = FineTuning{8, 1, seconds};
    figures.tokens_per_second = speed;
    figures.held_out = {{4096, packed + 1}, {8192, packed}};
    outcome(name).figures = figures;
    outcome(name).state = "passed";
  }
  void measure_all() {
    measure("first-s1", 21, 10);
    measure("first-s2", 21.4, 14);
    measure("second-s1", 20.4, 24, 800);
    measure("second-s2", 20.8, 24, 800);
    measure("control-s1", 19.2);
    measure("control-s2", 19.6);
  }
  StudyTable table() const { return table_of(study, outcomes); }

  test::ScratchFolder folder;
  StudyConfig study;
  std::vector<StudyOutcome> outcomes;
};

TEST_F(Study, ARatioIsPackedToOriginalAndTheOtherPackedToControlSeedBySeed) {
  measure_all();
  const StudyTable table = this->table();
  EXPECT_DOUBLE_EQ(table.lines[0].ratio->mean, (21 / 20.0 + 21.4 / 20.0) / 2);
  EXPECT_DOUBLE_EQ(*table.lines[0].ratios[1], 21.4 / 20);
  EXPECT_DOUBLE_EQ(table.lines[0].to_control->mean, (21 / 19.2 + 21.4 / 19.6) / 2);
  EXPECT_DOUBLE_EQ(table.lines[2].ratio->mean, (19.2 / 20 + 19.6 / 20) / 2);
  EXPECT_DOUBLE_EQ(table.lines[2].to_control->mean, 1);
}

TEST_F(Study, ChangesAreTakenSeedBySeed) {
  measure_all();
  const StudyLine second = table().lines[1];
  EXPECT_FALSE(table().lines[0].change);
  EXPECT_NEAR(second.change->mean, -0.03, 1e-12);
  EXPECT_NEAR(*second.change->deviation, 0, 1e-12) << "both seeds agree on it, whatever the seeds do to the ratio";
  EXPECT_MENTIONS(study_text({study, outcomes, table()}), "-0.0300 \xC2\xB1 0.0000 *");
}

TEST_F(Study, CostsAreThoseOfTheFirstRowAndOfTheControl) {
  measure_all();
  const StudyTable table = this->table();
  EXPECT_DOUBLE_EQ(*table.lines[0].time, 1);
  EXPECT_DOUBLE_EQ(*table.lines[1].time, 2);
  EXPECT_DOUBLE_EQ(*table.lines[1].pace, 1.25);
  EXPECT_DOUBLE_EQ(*table.lines[2].pace, 1);
}

TEST_F(Study, ARatioBelowOneThatTheControlBeatsIsNoWin) {
  measure_all();
  measure("first-s1", 19.78);
  measure("first-s2", 20.19);
  const StudyLine line = table().lines[0];
  EXPECT_LT(line.ratio->mean, 1);
  EXPECT_EQ(line.verdict, "worse than the control: below 1 by the training alone");
}

TEST_F(Study, VerdictsGoByTheInterval) {
  measure_all();
  measure("first-s1", 19.0);
  measure("first-s2", 19.4);
  EXPECT_EQ(table().lines[0].verdict, "better than the control");
  measure("first-s1", 18.0);
  measure("first-s2", 20.4);
  EXPECT_EQ(table().lines[0].verdict, "not told apart from the control: below 1 by the training");
  measure("first-s1", 21);
  measure("first-s2", 21.4);
  EXPECT_EQ(table().lines[0].verdict, "worse than the control");
  EXPECT_EQ(table().lines[2].verdict, "the control");
}

TEST_F(Study, AFailedJobLeavesTheOtherSeedsAndSaysSo) {
  measure_all();
  outcome("second-s1").figures.reset();
  outcome("second-s1").state = "failed";
  outcome("second-s1").reason = "the disk is full";
  const StudyTable table = this->table();
  EXPECT_EQ(table.lines[1].ratio->values, std::vector<double>{20.8 / 20});
  EXPECT_FALSE(table.lines[1].ratios[0]);
  EXPECT_EQ(table.lines[1].verdict, "one seed: no verdict; failed (1 of 2 seeds)");
  EXPECT_NEAR(table.lines[1].change->mean, -0.03, 1e-12) << "against the first row with the same seed";
  EXPECT_MENTIONS(study_markdown({study, outcomes, table}), "second-s1: failed: the disk is full");
  EXPECT_EQ(exit_code_of(outcomes), 70);
}

TEST_F(Study, NothingMeasuredIsATableAllTheSame) {
  const StudyTable table = this->table();
  EXPECT_FALSE(table.lines[0].ratio);
  EXPECT_EQ(table.lines[0].verdict, "not started (2 of 2 seeds)");
  EXPECT_TRUE(study_plots({study, outcomes, table}).empty());
  EXPECT_MENTIONS(study_markdown({study, outcomes, table}), "| first |");
}

TEST_F(Study, AFailedControlIsSaid) {
  measure_all();
  for (const char* name : {"control-s1", "control-s2"}) {
    outcome(name).figures.reset();
    outcome(name).state = "failed";
  }
  EXPECT_EQ(table().lines[0].verdict, "no comparison");
  EXPECT_EQ(table().lines[0].remark, "the control was not measured");
  EXPECT_FALSE(table().lines[0].pace);
}

struct StudyOfOtherTokens : Study {
  StudyOfOtherTokens() : Study(", {name: longer, set: {training.tokens: 16384}}") {}
};

TEST_F(StudyOfOtherTokens, AreNotComparedWithTheControl) {
  measure_all();
  measure("longer-s1", 19);
  measure("longer-s2", 19);
  const StudyLine line = table().lines[2];
  EXPECT_EQ(line.name, "longer");
  EXPECT_FALSE(line.to_control);
  EXPECT_EQ(line.verdict, "no comparison");
  EXPECT_MENTIONS(line.remark, "training.tokens");
  EXPECT_TRUE(line.ratio) << "its own ratio stands";
}

struct StudyOfPolish : Study {
  StudyOfPolish() : Study(", {name: polish, set: {training.tokens: 4096, training.polish_tokens: 4096}}") {}
};

TEST_F(StudyOfPolish, IsComparedWithAControlOfAsManyTokensInAll) {
  measure_all();
  measure("polish-s1", 19);
  measure("polish-s2", 19);
  EXPECT_TRUE(table().lines[2].to_control) << table().lines[2].remark;
}

TEST_F(Study, WritesTheSameFiguresInEveryForm) {
  measure_all();
  const StudyTable table = this->table();
  const StudyView view{study, outcomes, table};
  write_study(view);
  const std::filesystem::path out = study.output;
  const auto json = nlohmann::json::parse(read_file(out / "study.json"));
  EXPECT_EQ(json.at("rows").at(0).at("ratio").at("mean"), table.lines[0].ratio->mean);
  EXPECT_EQ(json.at("rows").at(2).at("control"), true);
  EXPECT_EQ(json.at("runs").size(), 6u);
  const std::string markdown = read_file(out / "study.md"), page = read_file(out / "study.html");
  EXPECT_MENTIONS(markdown, "| second | 1.0300 \xC2\xB1 0.0141 | 1.0200, 1.0400 |");
  EXPECT_MENTIONS(markdown, "`training.distillation: 1`");
  EXPECT_MENTIONS(markdown, "(ratios.svg)");
  EXPECT_MENTIONS(page, "data-key=\"/rows/1/ratio/mean\"");
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_MENTIONS(read_file(out / "ratios.svg"), "xmlns=\"http://www.w3.org/2000/svg\"");
  EXPECT_MENTIONS(read_file(out / "curves-1.svg"), ">second</text>");
}

}  // namespace
}  // namespace tercet::job
