#include "tercet/report/heartbeat_file.hpp"

#include <gtest/gtest.h>

#include "sample_run.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

RankState rank_one() {
  RankState state;
  state.rank = 1;
  state.known = true;
  state.host = "node7";
  state.pid = 4711;
  state.place = {900, "compress > fine-tune", 12, 40, true, "all_reduce", 4096, 33, 0};
  state.idle_s = 4.5;
  state.silent_s = 0.5;
  state.thread_state = 'S';
  state.memory_bytes = 1 << 20;
  return state;
}

class HeartbeatFile : public testing::Test {
 protected:
  const fs::path& folder() const { return scratch_.path(); }
  void running(const std::string& state) {
    RunStatus status;
    status.state = state;
    status.sentence = "fine-tune is under way";
    status.stage = "fine-tune";
    status.attempt = 3;
    status.started = status.updated = unix_time() - 100;
    write_status(folder(), status);
  }
  test::ScratchFolder scratch_;
};

TEST_F(HeartbeatFile, IsReadBackWhole) {
  RankState never;
  never.rank = 0;
  never.silent_s = 12;
  write_heartbeat(folder(), {1.7e9, {never, rank_one()}});
  const auto read = read_heartbeat(folder());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->time, 1.7e9);
  EXPECT_EQ(to_json(*read), to_json(Heartbeat{1.7e9, {never, rank_one()}}));
  EXPECT_EQ(table_of(read->ranks), table_of({never, rank_one()}));
}

TEST_F(HeartbeatFile, ThatIsAbsentOrDamagedIsNone) {
  EXPECT_FALSE(read_heartbeat(folder()));
  for (const char* text : {"", "{", "[]", R"({"time": 1})", R"({"time": 1, "ranks": [{"rank": "x"}]})"}) {
    write_file_atomically(folder() / "heartbeat.json", text);
    EXPECT_FALSE(read_heartbeat(folder())) << text;
  }
}

TEST_F(HeartbeatFile, AnEndingTurnsARunningStatusIntoAFailedOne) {
  running("running");
  record_ending(folder(), {ExitCode::kInternal, "the job hangs: rank 1", {rank_one()}});
  const auto status = read_status(folder());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->at("state"), "failed");
  EXPECT_EQ(status->at("exit_code"), 70);
  EXPECT_EQ(status->at("sentence"), "the job hangs: rank 1");
  EXPECT_EQ(status->at("stage"), "fine-tune");
  EXPECT_EQ(status->at("attempt"), 3);
  EXPECT_NEAR(status->at("seconds").get<double>(), 100, 30);
  EXPECT_EQ(read_heartbeat(folder())->ranks.size(), 1U);
}

TEST_F(HeartbeatFile, AnEndingLeavesAFinalStatusAlone) {
  running("passed");
  record_ending(folder(), {ExitCode::kInternal, "the job hangs: rank 1", {rank_one()}});
  EXPECT_EQ(read_status(folder())->at("state"), "passed");
}

TEST_F(HeartbeatFile, AnEndingWithoutAStatusIsNoError) {
  record_ending(folder(), {ExitCode::kInternal, "the job hangs: rank 1", {rank_one()}});
  EXPECT_FALSE(read_status(folder()));
}

}  // namespace
}  // namespace tercet
