#include <gtest/gtest.h>

#include <fstream>

#include "job/element_state.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

ElementAttempt attempt(std::optional<int> exit_code, bool progressed) {
  return {1, 2, exit_code, "why", "mark", progressed};
}

const LimitsSection kLimits{4, 2};

TEST(Limits, AnElementIsGivenUpAfterSoManyAttemptsWithoutAVerdict) {
  std::vector<ElementAttempt> attempts(3, attempt(70, true));
  EXPECT_EQ(why_given_up(attempts, kLimits), "");
  attempts.push_back(attempt(std::nullopt, true));  // its driver was killed: that counts too
  EXPECT_EQ(why_given_up(attempts, kLimits), "given up after 4 attempts (limits.attempts)");
}

TEST(Limits, AttemptsInARowWithoutProgressEndItSooner) {
  EXPECT_EQ(why_given_up({attempt(70, false)}, kLimits), "");
  EXPECT_EQ(why_given_up({attempt(70, false), attempt(70, true), attempt(74, false)}, kLimits), "");
  EXPECT_NE(why_given_up({attempt(70, true), attempt(70, false), attempt(74, false)}, kLimits).find("without progress"),
            std::string::npos);
}

TEST(Limits, AttemptsThatWereStoppedOnRequestDoNotCount) {
  EXPECT_EQ(why_given_up(std::vector<ElementAttempt>(50, attempt(75, false)), kLimits), "");
  EXPECT_NE(why_given_up({attempt(70, false), attempt(75, false), attempt(70, false)}, kLimits), "");
}

TEST(ElementState, SurvivesItsFile) {
  const test::ScratchFolder scratch;
  const fs::path file = scratch.path() / "a-x.json";
  EXPECT_EQ(read_element_state(file).state, "waiting");
  ElementState state;
  state.state = "regressed";
  state.reason = "worse";
  state.attempts = {attempt(std::nullopt, true), attempt(75, false)};
  state.published = "2026-11-25-0123456789ab";
  state.regression =
      judge_regression({}, "n1", ElementFigures{4.0, 4.1, 0.5, 8.0, 100}, {4.0, 5.0, std::nullopt, 8.0, 100});
  write_element_state(file, state);
  const ElementState again = read_element_state(file);
  EXPECT_EQ(again.state, state.state);
  EXPECT_EQ(again.reason, state.reason);
  EXPECT_EQ(again.published, state.published);
  ASSERT_EQ(again.attempts.size(), 2u);
  EXPECT_EQ(again.attempts[0].exit_code, std::nullopt);
  EXPECT_EQ(again.attempts[1].exit_code, 75);
  EXPECT_TRUE(again.attempts[0].progressed);
  ASSERT_TRUE(again.regression);
  EXPECT_EQ(to_json(*again.regression), to_json(*state.regression));
}

TEST(ElementState, ADamagedFileIsAnErrorThatNamesIt) {
  const test::ScratchFolder scratch;
  const fs::path file = scratch.path() / "a-x.json";
  for (const char* text : {"{", "[]", "{\"state\": 3}"}) {
    std::ofstream(file) << text;
    try {
      read_element_state(file);
      FAIL() << text;
    } catch (const StoreError& error) {
      EXPECT_NE(std::string(error.what()).find("a-x.json"), std::string::npos);
    }
  }
}

TEST(ElementState, HasTheExitCodeOfItsEnd) {
  const auto code = [](const std::string& state, std::vector<ElementAttempt> attempts = {}) {
    ElementState element;
    element.state = state;
    element.attempts = std::move(attempts);
    return exit_code_of(element);
  };
  EXPECT_EQ(code("passed"), 0);
  EXPECT_EQ(code("gate_failed"), 3);
  EXPECT_EQ(code("regressed"), 3);
  EXPECT_EQ(code("stopped"), 75);
  EXPECT_EQ(code("failed", {attempt(65, false)}), 65);
  EXPECT_EQ(code("given_up", {attempt(65, false)}), 70);
  EXPECT_EQ(code("waiting"), 70);
}

TEST(ElementState, AnAttemptWhoseDriverWasKilledIsClosedOnce) {
  ElementState state;
  state.attempts = {{1, std::nullopt, std::nullopt, "", "before", false}};
  close_unfinished_attempt(state, "after");
  EXPECT_TRUE(state.attempts[0].ended);
  EXPECT_TRUE(state.attempts[0].progressed);
  EXPECT_FALSE(state.attempts[0].exit_code);
  const std::string reason = state.attempts[0].reason;
  state.attempts[0].progressed = false;
  close_unfinished_attempt(state, "later");
  EXPECT_FALSE(state.attempts[0].progressed);
  EXPECT_EQ(state.attempts[0].reason, reason);
}

TEST(ProgressMark, ChangesWithANewCheckpointAFinishedStageAndFinishedWorkAndWithNothingElse) {
  const test::ScratchFolder scratch;
  const fs::path run = scratch.path() / "run";
  std::vector<std::string> marks = {progress_mark(run)};
  const auto moved = [&](const char* what) {
    marks.push_back(progress_mark(run));
    EXPECT_NE(marks.back(), marks[marks.size() - 2]) << what;
  };
  fs::create_directories(run / "checkpoints" / "step-00000010");
  moved("a checkpoint");
  {
    RunFile file(run, true);
    EXPECT_EQ(progress_mark(run), marks.back()) << "an attempt alone";
    file.stage({"load the model", 0, 1, 0});
    moved("a stage");
    file.metric({"training/loss", 1, 2.0, "nats"});
    file.stage({"load the model", 0, 1, 0});
    EXPECT_EQ(progress_mark(run), marks.back()) << "the same stage again";
  }
  const fs::path work = run / "work" / "attempt-0001.rank-0000.log";
  test::write_text_file(work, "the head that each attempt begins with\n");
  EXPECT_EQ(progress_mark(run), marks.back()) << "a log of work without work";
  test::write_text_file(work, "unit", true);
  moved("finished work");
  fs::create_directories(run / "log");
  std::ofstream(run / "log" / "rank-0000.log") << "words";
  EXPECT_EQ(progress_mark(run), marks.back()) << "a log";
}

}  // namespace
}  // namespace tercet::job
