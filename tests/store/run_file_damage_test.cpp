// What a kill, a full disk or a clumsy hand leave behind, and what becomes of the run then.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/records.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using store::to_json;
using test::ScratchFolder;

void record_steps(RunFile& run, int from, int to) {
  for (int step = from; step < to; ++step) run.metric({"loss", step, 1.0 / (step + 1), "nats"});
}

class DamagedRun : public testing::Test {
 protected:
  void SetUp() override {
    RunFile run(folder(), true);
    run.provenance("config", {{"seed", 1}});
    record_steps(run, 0, 5);
    run.stage({"calibration", 0, 1});
  }
  // Goes on with the run and expects the five first steps and one more.
  void expect_goes_on() {
    {
      RunFile run(folder(), true);
      record_steps(run, 5, 6);
    }
    const RunRecord read = read_run_file(run_h5());
    ASSERT_EQ(read.metrics.size(), 6u);
    for (int step = 0; step < 6; ++step) EXPECT_EQ(read.metrics[static_cast<std::size_t>(step)].step, step);
    EXPECT_EQ(read.stages.size(), 1u);
    EXPECT_EQ(read.provenance.at("config").at("seed"), 1);
    EXPECT_EQ(to_json(read), to_json(read_journal(journal())));
  }
  const fs::path& folder() const { return scratch_.path(); }
  fs::path run_h5() const { return folder() / "run.h5"; }
  fs::path journal() const { return folder() / "journal.jsonl"; }

 private:
  ScratchFolder scratch_;
};

TEST_F(DamagedRun, GoesOnAfterRunFileWasCutInHalf) {
  fs::resize_file(run_h5(), fs::file_size(run_h5()) / 2);
  expect_goes_on();
}

TEST_F(DamagedRun, GoesOnAfterRunFileBecameEmpty) {
  fs::resize_file(run_h5(), 0);
  expect_goes_on();
}

TEST_F(DamagedRun, GoesOnAfterRunFileWasOverwrittenWithRubbish) {
  test::write_text_file(run_h5(), "rubbish");
  expect_goes_on();
}

TEST_F(DamagedRun, GoesOnAfterRunFileWasRemoved) {
  fs::remove(run_h5());
  expect_goes_on();
}

TEST_F(DamagedRun, DropsAJournalLineThatWasNotFinishedAndCutsItOff) {
  test::write_text_file(journal(), R"({"t":1,"kind":"metric","attempt":1,"name":"loss","st)", true);
  EXPECT_EQ(read_journal(journal()).metrics.size(), 5u);
  expect_goes_on();
  EXPECT_EQ(read_file(journal()).find("\"st{"), std::string::npos);
}

TEST_F(DamagedRun, TakesRecordsThatReachedOnlyTheJournal) {
  const std::string line =
      R"({"t":1e9,"kind":"metric","attempt":1,"name":"loss","step":5,"value":0.125,"unit":"nats"})";
  test::write_text_file(journal(), line + "\n", true);
  { RunFile run(folder(), true); }
  const RunRecord read = read_run_file(run_h5());
  ASSERT_EQ(read.metrics.size(), 6u);
  EXPECT_EQ(read.metrics.back().value, 0.125);
}

TEST_F(DamagedRun, WritesALostJournalAgain) {
  fs::remove(journal());
  expect_goes_on();
}

TEST_F(DamagedRun, KeepsADamagedFileThatNoJournalCanReplace) {
  fs::remove(journal());
  fs::resize_file(run_h5(), 100);
  { RunFile run(folder(), true); }
  EXPECT_EQ(fs::file_size(folder() / "damaged-run.h5"), 100u);
  EXPECT_TRUE(read_run_file(run_h5()).metrics.empty());
}

TEST_F(DamagedRun, NamesTheLineOfAJournalThatIsNoJson) {
  test::write_text_file(journal(), "{\"kind\": \"metric\"\n", true);
  const std::string text = test::message_of<StoreError>([&] { read_journal(journal()); });
  EXPECT_NE(text.find("line 9"), std::string::npos) << text;  // attempt, config, 5 steps, stage
  EXPECT_NE(text.find(journal().string()), std::string::npos) << text;
}

TEST_F(DamagedRun, NamesTheLineOfAJournalThatLacksAField) {
  test::write_text_file(journal(), "{\"kind\": \"metric\", \"name\": \"loss\"}\n", true);
  const std::string text = test::message_of<StoreError>([&] { rebuild_run_file(folder()); });
  EXPECT_NE(text.find("line 9"), std::string::npos) << text;
  EXPECT_EQ(read_run_file(run_h5()).metrics.size(), 5u);  // untouched
}

TEST_F(DamagedRun, PassesOverJournalLinesOfKindsFromALaterVersion) {
  test::write_text_file(journal(), "{\"kind\": \"weather\", \"t\": 1, \"attempt\": 1}\n", true);
  expect_goes_on();
}

TEST_F(DamagedRun, LosesNothingWhenItsProcessIsKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    RunFile run(folder(), true);
    record_steps(run, 5, 40);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_journal(journal()).metrics.size(), 40u);
  { RunFile run(folder(), true); }
  const RunRecord read = read_run_file(run_h5());
  ASSERT_EQ(read.metrics.size(), 40u);
  EXPECT_EQ(read.metrics.back().step, 39);
  EXPECT_EQ(read.attempts.size(), 3u);
}

// A file size limit stands in for a full disk: the same failing write, without a file system of its own. In a child,
// since HDF5 cannot be used any more once it could not write.
TEST_F(DamagedRun, SaysSoWhenTheDiskIsFullAndGoesOnAfterwards) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    RunFile run(folder(), true);
    const rlimit limit{fs::file_size(journal()) + 50, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      record_steps(run, 5, 40);
    } catch (const StoreError&) {
      ::_exit(7);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  expect_goes_on();
}

}  // namespace
}  // namespace tercet
