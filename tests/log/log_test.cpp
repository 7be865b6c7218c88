#include "tercet/log/log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "log/console.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

class Log : public ::testing::Test {
 protected:
  void TearDown() override {
    log::close();
    log::open({});
  }
  std::string file(const std::string& name) const { return read_file(directory_ / "log" / name); }
  log::Options options(int rank, int world_size) const {
    log::Options result;
    result.rank = rank;
    result.world_size = world_size;
    result.directory = directory_ / "log";
    return result;
  }
  const test::ScratchFolder directory_;
};

// What `action` writes to stderr when that is a terminal.
std::string on_a_terminal(const std::function<void()>& action) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return "";
  const int slave = ::open(ptsname(master), O_RDWR | O_NOCTTY);
  const int saved = dup(STDERR_FILENO);
  setenv("TERM", "xterm", 1);
  dup2(slave, STDERR_FILENO);
  ::close(slave);
  action();
  dup2(saved, STDERR_FILENO);
  ::close(saved);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(master, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  ::close(master);
  return text;
}

TEST_F(Log, SpeaksOnStderrBeforeOpenWasCalled) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  log::info("hello");
  log::warn("careful");
  log::debug("detail");
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_MENTIONS(errors, " hello\n");
  EXPECT_MENTIONS(errors, "warning: careful");
  EXPECT_FALSE(test::mentions(errors, "detail"));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST_F(Log, OtherRanksAreSilentOnTheConsoleButKeepAFile) {
  testing::internal::CaptureStderr();
  log::open(options(3, 4));
  log::info("said by all");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  log::close();
  EXPECT_MENTIONS(file("rank-0003.log"), "info said by all");
}

TEST_F(Log, AMessageOfOneRankNamesTheRank) {
  log::open(options(2, 4));
  testing::internal::CaptureStderr();
  log::error_here("my disk is full");
  EXPECT_MENTIONS(testing::internal::GetCapturedStderr(), "error: rank 2: my disk is full");
}

TEST_F(Log, OpeningAgainChangesTheRankAndAppendsToTheFile) {
  log::open(options(0, 1));
  log::info("first run");
  log::close();
  log::open(options(0, 2));
  log::info("second run");
  log::close();
  log::close();
  EXPECT_MENTIONS(file("rank-0000.log"), "first run");
  EXPECT_MENTIONS(file("rank-0000.log"), "second run");
}

TEST_F(Log, TheLevelHidesWhatIsBelowIt) {
  log::Options quiet = options(0, 1);
  quiet.level = log::Level::kError;
  testing::internal::CaptureStderr();
  log::open(quiet);
  log::warn("unimportant");
  log::error("important");
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_FALSE(test::mentions(errors, "unimportant"));
  EXPECT_MENTIONS(errors, "error: important");
}

TEST_F(Log, AMessageWithBracesIsNotAFormat) {
  testing::internal::CaptureStderr();
  log::info("{} and {0} and %v");
  EXPECT_MENTIONS(testing::internal::GetCapturedStderr(), "{} and {0} and %v");
}

TEST_F(Log, AFolderThatCannotBeMadeIsAStoreErrorNamingTheFile) {
  write_file_atomically(directory_ / "plain", "a file, not a folder");
  log::Options bad = options(0, 1);
  bad.directory = directory_ / "plain" / "log";
  EXPECT_MENTIONS(test::message_of<StoreError>([&] { log::open(bad); }), "plain/log/rank-0000.log");
}

TEST_F(Log, MessagesFromSeveralThreadsStayWhole) {
  log::open(options(1, 2));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) log::info("a message that must not be torn");
    });
  }
  for (std::thread& thread : threads) thread.join();
  log::close();
  const std::string text = file("rank-0001.log");
  std::size_t whole = 0;
  for (std::size_t at = 0; (at = text.find(" info a message that must not be torn\n", at)) != std::string::npos; ++at) {
    ++whole;
  }
  EXPECT_EQ(whole, 200u);
}

TEST_F(Log, ProgressWithoutATerminalIsALineEachIntervalAndASummary) {
  log::Options often = options(0, 1);
  often.line_interval_s = 0.0;
  log::open(often);
  testing::internal::CaptureStderr();
  {
    log::Progress progress("calibrate", 40, "windows");
    progress.update(10, "layer 3");
    progress.update(40);
  }
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_MENTIONS(errors, "calibrate: 25%  10/40 windows");
  EXPECT_MENTIONS(errors, "left  layer 3");
  EXPECT_MENTIONS(errors, "calibrate: 40 windows in");
  EXPECT_FALSE(test::mentions(errors, "\r"));
}

TEST_F(Log, ProgressKeepsToItsInterval) {
  log::open(options(0, 1));  // ten seconds
  testing::internal::CaptureStderr();
  {
    log::Progress progress("fine-tune", 1000, "steps");
    for (std::uint64_t i = 1; i <= 700; ++i) progress.update(i);
  }
  const std::string errors = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1);
  EXPECT_MENTIONS(errors, "fine-tune: 700 of 1 000 steps");
}

TEST_F(Log, ProgressIsSilentOnOtherRanks) {
  log::Options other = options(1, 2);
  other.line_interval_s = 0.0;
  log::open(other);
  testing::internal::CaptureStderr();
  { log::Progress("fine-tune", 10, "steps").update(5); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  log::close();
  EXPECT_EQ(file("rank-0001.log"), "");
}

TEST_F(Log, ProgressOnATerminalIsOneLineThatMessagesDoNotTear) {
  const std::string shown = on_a_terminal([] {
    log::Progress progress("tokenize", 200, "documents");
    progress.update(50);
    log::info("in between");
    progress.update(200);
  });
  if (shown.empty()) GTEST_SKIP() << "no pseudo-terminal here";
  EXPECT_MENTIONS(shown, "\rtokenize: 25%  50/200 documents");
  EXPECT_MENTIONS(shown, "in between\r\ntokenize: 25%");  // the live line is drawn again below the message
  EXPECT_MENTIONS(shown, "tokenize: 200 documents in");
}

TEST(FitToWidth, CutsWholeCodePointsSoThatALineNeverWraps) {
  EXPECT_EQ(log::console::fit_to_width("abcdef", 4), "abc");
  EXPECT_EQ(log::console::fit_to_width("abc", 4), "abc");
  EXPECT_EQ(log::console::fit_to_width("äöü", 3), "äö");
}

}  // namespace
}  // namespace tercet
