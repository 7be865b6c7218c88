// What follows from a finished run, whatever an earlier driver had already done of it when it was killed.
#include <gtest/gtest.h>

#include "job/family_element.hpp"
#include "job/family_publication.hpp"
#include "job/family_summary.hpp"
#include "report/sample_run.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

struct Element : testing::Test {
  Element() {
    FamilyElement element;
    element.name = "a-x";
    element.model = "a";
    element.target = "x";
    family.elements = {element};
    family.output = scratch.path().string();
  }

  FamilyFolders night(const std::string& name) const { return {scratch.path(), name}; }

  // The run folder of a job that ended with its verdict.
  void finish_run(const std::string& name, double perplexity, bool passed = true) {
    const fs::path run = night(name).run("a-x");
    RunResults results = test::sample_results();
    results.packed.perplexity = perplexity;
    fs::create_directories(run);
    RunFile file(run, true);
    file.provenance(kResultsKey, to_json(results));
    if (!passed) file.gates({{"perplexity", "fail", "fail", 1, 0.1, "<= 0.1", "perplexity doubled"}});
    const fs::path artifacts = run / (passed ? "artifacts" : "rejected");
    test::write_text_file(artifacts / "model.pt", name);
    test::write_text_file(artifacts / "compression_metadata.json",
                          R"({"config": {"fingerprint": "c"}, "model": {"weights_sha256": "m"}, "data": []})");
  }

  ElementState open(const std::string& name) {
    const FamilyFolders folders = night(name);
    FamilyElementRun run(family, family.elements[0], folders);
    run.open();
    return run.state();
  }

  std::string latest() const {
    std::error_code absent;
    return fs::read_symlink(scratch.path() / "models" / "a-x" / "latest", absent).string();
  }
  std::vector<HistoryEntry> history() const { return read_history(scratch.path() / "history" / "a-x.jsonl"); }

  test::ScratchFolder scratch;
  FamilyConfig family;
};

TEST_F(Element, ARunThatPassedIsPublishedRememberedAndSaidToHavePassed) {
  finish_run("n1", 21.0);
  const ElementState state = open("n1");
  EXPECT_EQ(state.state, "passed");
  EXPECT_EQ(latest(), state.published);
  EXPECT_TRUE(state.published.starts_with("n1-"));
  ASSERT_EQ(history().size(), 1u);
  EXPECT_EQ(history()[0].published, state.published);
  EXPECT_DOUBLE_EQ(*history()[0].figures.perplexity, 21.0);
  EXPECT_EQ(read_file(scratch.path() / "models/a-x/latest/model.pt"), "n1");
  EXPECT_TRUE(fs::exists(night("n1").run("a-x") / "artifacts/model.pt")) << "the run is no longer complete";
}

TEST_F(Element, ADriverKilledBetweenAnyTwoStepsIsFollowedByOneThatEndsInTheSamePlace) {
  finish_run("n0", 21.0);
  open("n0");
  const std::string old = latest();
  for (int steps = 0; steps <= 3; ++steps) {
    const std::string name = "n" + std::to_string(steps + 1);
    finish_run(name, 21.0);
    const fs::path models = scratch.path() / "models/a-x", run = night(name).run("a-x");
    const std::string folder = name + latest().substr(latest().find('-'));
    if (steps >= 1) publish_artifacts(run / "artifacts", models, folder);
    if (steps >= 2) {
      append_history(scratch.path() / "history/a-x.jsonl", {name, "passed", "", 1, figures_of_run(run), folder});
    }
    if (steps >= 3) point_latest(models, folder);
    EXPECT_EQ(read_file(models / "latest/model.pt"), steps < 3 ? "n" + std::to_string(steps) : name);
    const ElementState state = open(name);
    EXPECT_EQ(state.state, "passed") << steps;
    EXPECT_EQ(state.published, folder) << steps;
    EXPECT_EQ(latest(), folder) << steps;
    EXPECT_EQ(history().size(), static_cast<std::size_t>(steps) + 2) << "a night has one line";
    EXPECT_EQ(state.regression->against, "n" + std::to_string(steps)) << "a night is not compared with itself";
  }
}

TEST_F(Element, ARegressionIsNotPublishedAndTheBarStays) {
  finish_run("n1", 20.0);
  open("n1");
  const std::string accepted = latest();
  for (const char* name : {"n2", "n3"}) {
    finish_run(name, 21.0);
    const ElementState state = open(name);
    EXPECT_EQ(state.state, "regressed");
    EXPECT_EQ(state.published, "");
    EXPECT_MENTIONS(state.reason, "perplexity 21.0000, accepted 20.0000");
    EXPECT_EQ(latest(), accepted);
  }
  finish_run("n4", 20.1);
  EXPECT_EQ(open("n4").state, "passed");
  EXPECT_NE(latest(), accepted);
}

TEST_F(Element, ARunThatFailedAGateGivesItsEvidenceAndIsNotPublished) {
  finish_run("n1", 40.0, false);
  const ElementState state = open("n1");
  EXPECT_EQ(state.state, "gate_failed");
  EXPECT_EQ(state.reason, "perplexity doubled");
  EXPECT_EQ(latest(), "");
  EXPECT_FALSE(history().at(0).accepted());
}

TEST_F(Element, OldPublicationsGo) {
  family.keep = 2;
  for (const char* name : {"n1", "n2", "n3"}) {
    finish_run(name, 20.0);
    open(name);
  }
  std::size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(scratch.path() / "models/a-x")) folders += !entry.is_symlink();
  EXPECT_EQ(folders, 2u);
  EXPECT_TRUE(latest().starts_with("n3-"));
}

TEST_F(Element, IsGivenUpAfterItsAttemptsWithTheLastReason) {
  const FamilyFolders folders = night("n1");
  for (int attempt = 0; attempt < 2; ++attempt) {
    FamilyElementRun run(family, family.elements[0], folders);
    run.open();
    ASSERT_TRUE(run.may_start()) << attempt;
    run.begin_attempt();
    test::write_text_file(run.files().log, "14:00 error: the model is no model\n", true);
    run.end_attempt(70, false);
    EXPECT_EQ(run.state().state, "failed");
    EXPECT_EQ(run.state().reason, "the model is no model");
  }
  FamilyElementRun run(family, family.elements[0], folders);
  run.open();
  EXPECT_FALSE(run.may_start());
  EXPECT_EQ(run.state().state, "given_up");
  EXPECT_MENTIONS(run.state().reason, "without progress");
  EXPECT_MENTIONS(run.state().reason, "the model is no model");
  EXPECT_EQ(history().back().state, "given_up");
}

TEST_F(Element, AnAttemptWhoseDriverWasKilledCounts) {
  const FamilyFolders folders = night("n1");
  for (int attempt = 0; attempt < 2; ++attempt) {
    FamilyElementRun run(family, family.elements[0], folders);
    run.open();
    run.begin_attempt();  // and nothing more: killed
  }
  EXPECT_EQ(summarize(family, folders)[0].state, "interrupted");
  FamilyElementRun run(family, family.elements[0], folders);
  run.open();
  EXPECT_FALSE(run.may_start());
  EXPECT_MENTIONS(run.state().reason, "killed");
}

TEST_F(Element, AStopOnRequestIsNoFailedAttempt) {
  const FamilyFolders folders = night("n1");
  for (const int code : {75, 75, 138}) {  // 138: USR1 came before anyone listened
    FamilyElementRun run(family, family.elements[0], folders);
    run.open();
    ASSERT_TRUE(run.may_start());
    run.begin_attempt();
    run.end_attempt(code, true);
    EXPECT_EQ(run.state().state, "stopped");
    EXPECT_EQ(exit_code_of(run.state()), 75);
  }
}

TEST_F(Element, WhatTheProgramWroteDownComesBeforeWhatTheLauncherReturned) {
  const FamilyFolders folders = night("n1");
  FamilyElementRun run(family, family.elements[0], folders);
  run.open();
  run.begin_attempt();
  RunStatus status;
  status.state = "failed";
  status.sentence = "training diverged at step 7";
  fs::create_directories(folders.run("a-x"));
  write_status(folders.run("a-x"), status);
  run.end_attempt(137, false);
  EXPECT_EQ(run.state().reason, "training diverged at step 7");
  EXPECT_EQ(run.state().attempts.back().exit_code, 70);
  EXPECT_TRUE(run.may_retry());
}

TEST_F(Element, BadInputIsNotTriedAgainAtOnce) {
  const FamilyFolders folders = night("n1");
  FamilyElementRun run(family, family.elements[0], folders);
  run.open();
  run.begin_attempt();
  run.end_attempt(65, false);
  EXPECT_FALSE(run.may_retry());
  EXPECT_EQ(exit_code_of(run.state()), 65);
}

TEST_F(Element, OfAnotherDriverIsLeftAlone) {
  const FamilyFolders folders = night("n1");
  FamilyElementRun first(family, family.elements[0], folders), second(family, family.elements[0], folders);
  first.open();
  first.begin_attempt();
  const std::string before = read_file(folders.state("a-x"));
  EXPECT_MENTIONS(test::message_of<StoreError>([&] { second.open(); }), "is in use");
  second.fail("not mine", 74);
  EXPECT_EQ(read_file(folders.state("a-x")), before);
  EXPECT_EQ(summarize(family, folders)[0].state, "running");
}

TEST_F(Element, SummariesHaveTheExitCodeOfTheWorst) {
  EXPECT_EQ(exit_code_of(summarize(family, night("n1"))), 70);
  finish_run("n1", 20.0);
  open("n1");
  EXPECT_EQ(exit_code_of(summarize(family, night("n1"))), 0);
  finish_run("n2", 30.0);
  open("n2");
  const auto summary = summarize(family, night("n2"));
  EXPECT_EQ(exit_code_of(summary), 3);
  const std::string text = summary_text(summary, night("n2"));
  EXPECT_MENTIONS(text, "20.000 (+50.0 %)");
  EXPECT_MENTIONS(text, "regressed 30.000");
  EXPECT_MENTIONS(summary_markdown("f", summary, night("n2")), "| a | x | regressed |");
}

}  // namespace
}  // namespace tercet::job
