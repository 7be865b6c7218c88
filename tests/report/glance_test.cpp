#include "tercet/report/glance.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "sample_run.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

class Watching : public testing::Test {
 protected:
  const fs::path& folder() const { return scratch_.path(); }
  void beat(std::uint64_t done, double time) const {
    RankState rank;
    rank.known = true;
    rank.host = "node7";
    rank.place = {1, "compress > fine-tune", done, 40, false, "", 0, 0, 0};
    rank.memory_bytes = 2'000'000'000;
    write_heartbeat(folder(), {time, {rank}});
  }
  void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
  }

 private:
  test::ScratchFolder scratch_;
};

TEST_F(Watching, ShowsWhereARunIs) {
  test::record_sample_run(folder(), false);
  beat(10, unix_time());
  RunWatcher watcher(folder());
  const Glance& run = watcher.look();
  EXPECT_FALSE(run.over());
  expect_parts(picture(run, 120),
               {"running, for", "fine-tune  10 of 40  25 %", "perplexity 20.000 before", "50.000 quantized",
                "loss 0.1000 at step 30", "held-out perplexity 21.000 at step 20", "4030 tokens/s",
                "1 steps were not finite", "1 layers could not be solved", "node7", "2.00 GB", "computes"});
  const auto json = to_json(run);
  EXPECT_EQ(json.at("done"), 10);
  EXPECT_EQ(json.at("values").at("training/loss").at("step"), 30);
}

TEST_F(Watching, TellsPaceAndTimeLeftFromTwoHeartbeats) {
  test::record_sample_run(folder(), false);
  const double now = unix_time();
  beat(10, now - 10);
  RunWatcher watcher(folder());
  watcher.look();
  beat(15, now);
  expect_parts(picture(watcher.look(), 120), {"15 of 40  37 %  0.50/s  50.0 s left"});
}

TEST_F(Watching, JudgesGatesByWhatIsKnownAndSaysSo) {
  test::record_sample_run(folder(), false);
  std::ofstream(folder() / "config.resolved.yaml") << "name: named\n";
  RunWatcher watcher(folder());
  const Glance& run = watcher.look();
  EXPECT_EQ(run.name, "named");
  ASSERT_EQ(run.gates.size(), 8u);
  EXPECT_FALSE(run.judged);
  const std::string text = picture(run, 120);
  expect_parts(text, {"perplexity       0.0500  <= 0.1          pass so far",
                      "sparsity         0.3200  0.25 to 0.45    pass so far",
                      "speedup          3.0000  >= 2            pass so far", "not measured yet"});
}

TEST_F(Watching, ShowsWhatBecameOfARunThatEnded) {
  test::record_sample_run(folder(), true);
  RunWatcher watcher(folder());
  const Glance& run = watcher.look();
  EXPECT_TRUE(run.over());
  EXPECT_TRUE(run.judged);
  EXPECT_EQ(run.exit_code, 0);
  expect_parts(picture(run, 120), {"passed (exit code 0)", "every gate passed", "7.63x smaller than fp32"});
}

TEST_F(Watching, SaysThatAJobWasKilled) {
  test::record_sample_run(folder(), false);
  RunStatus status;
  status.started = status.updated = unix_time() - 9000;
  write_status(folder(), status);
  beat(10, unix_time() - 3600);
  RunWatcher watcher(folder());
  const Glance& run = watcher.look();
  ASSERT_TRUE(run.silent_s());
  EXPECT_NEAR(*run.silent_s(), 3600, 60);
  expect_parts(picture(run, 120), {"no sign of life for 1 h 00 min"});
}

TEST_F(Watching, FollowsARunThatGrows) {
  test::record_sample_run(folder(), false);
  RunWatcher watcher(folder());
  watcher.look();
  RunFile(folder(), true).metric({"training/loss", 31, 0.05, "nats"});
  EXPECT_EQ(watcher.look().last.at("training/loss").step, 31);
}

TEST_F(Watching, KeepsEachLineWithinTheScreenAndFreeOfControls) {
  test::record_sample_run(folder(), true, "\x1b[2J" + std::string(400, 'x') + "\ny");
  RunWatcher watcher(folder());
  const std::string text = picture(watcher.look(), 60);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 60u) << line;
}

TEST_F(Watching, WithstandsAnyFolder) {
  EXPECT_THROW(RunWatcher{folder()}, StoreError);
  std::ofstream(folder() / "journal.jsonl") << "rubbish\n\xff\xff\n{\"kind\":\"metric\"}\n{\"kind\":\"prov";
  std::ofstream(folder() / "status.json") << R"({"state": 7, "exit_code": 1e300, "seconds": "long", "started": []})";
  std::ofstream(folder() / "heartbeat.json")
      << R"({"time": 1, "ranks": [{"rank": 1e300, "known": true, "silent_s": 0}]})";
  std::ofstream(folder() / "config.resolved.yaml") << "name: [1, 2\n";
  RunWatcher watcher(folder());
  const Glance& run = watcher.look();
  EXPECT_EQ(run.damaged_lines, 3u);
  EXPECT_FALSE(run.exit_code);
  EXPECT_FALSE(run.heartbeat);
  expect_parts(picture(run, 100), {"no status yet", "3 lines of the journal are damaged"});
  EXPECT_FALSE(to_json(run).dump().empty());
}

TEST_F(Watching, ListsRunsTheNewestFirst) {
  for (const char* name : {"a", "group/b", "group/deep/er/c"}) test::record_sample_run(folder() / name, true);
  fs::create_directory(folder() / "no run");
  fs::create_directory_symlink(folder(), folder() / "loop");
  std::ofstream(folder() / "a" / "status.json")
      << R"({"state": "passed", "started": "2030-01-01T00:00:00Z", "seconds": 5})";
  const auto runs = runs_below(folder());
  ASSERT_EQ(runs.size(), 2u);  // three levels down is far enough
  EXPECT_EQ(runs[0].folder.filename(), "a");
  const std::string table = runs_table(folder(), runs);
  expect_parts(table, {"group/b", "passed", "7.63x", "20.000", "21.000", "2030-01-01T00:00:00Z"});
  EXPECT_EQ(runs_json(runs).at("runs").at(1).at("perplexity_after"), 21.0);
  EXPECT_EQ(runs_below(folder() / "a").size(), 1u);
}

TEST_F(Watching, ListsARunThatCannotBeRead) {
  test::record_sample_run(folder() / "a", true);
  std::ofstream(folder() / "a" / "status.json") << "{";
  const auto runs = runs_below(folder());
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].state, "unreadable");
  EXPECT_THROW(runs_below(folder() / "nowhere"), StoreError);
}

}  // namespace
}  // namespace tercet
