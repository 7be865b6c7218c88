#include "tercet/store/journal_follower.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

std::string metric_line(int step) {
  return R"({"kind":"metric","t":1700000000.0,"attempt":1,"name":"training/loss","step":)" + std::to_string(step) +
         R"(,"value":2.5,"unit":"nats"})" + "\n";
}

class Following : public testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(journal(), std::ios::app) << text; }
  fs::path journal() const { return scratch_.path() / "journal.jsonl"; }

 private:
  test::ScratchFolder scratch_;
};

TEST_F(Following, GivesEachRecordOnce) {
  append(metric_line(1) + metric_line(2));
  JournalFollower follower(journal());
  EXPECT_EQ(follower.read().metrics.size(), 2u);
  EXPECT_TRUE(follower.read().metrics.empty());
  append(metric_line(3));
  const RunRecord more = follower.read();
  ASSERT_EQ(more.metrics.size(), 1u);
  EXPECT_EQ(more.metrics[0].step, 3);
  EXPECT_EQ(more.wall_times[0], 1.7e9);
}

TEST_F(Following, WaitsForTheEndOfALine) {
  const std::string line = metric_line(1);
  append(line.substr(0, 40));
  JournalFollower follower(journal());
  EXPECT_TRUE(follower.read().metrics.empty());
  append(line.substr(40));
  EXPECT_EQ(follower.read().metrics.size(), 1u);
  EXPECT_EQ(follower.damaged_lines(), 0u);
}

TEST_F(Following, PassesOverDamagedLinesAndCountsThem) {
  append("not json\n[]\n{}\n" + metric_line(1) +
         R"({"kind":"metric","name":"x","step":1,"value":1,"unit":"1","attempt":1})" + "\n" +
         R"({"kind":"stage","name":7})" + "\n" + R"({"kind":"of a later version"})" + "\n" + metric_line(2));
  JournalFollower follower(journal());
  const RunRecord run = follower.read();
  EXPECT_EQ(run.metrics.size(), 2u);
  EXPECT_EQ(run.wall_times.size(), 2u);
  EXPECT_EQ(follower.damaged_lines(), 5u);
}

TEST_F(Following, ReadsOfALongJournalItsBeginningAndItsEnd) {
  std::string text;
  for (int step = 1; step <= 10000; ++step) text += metric_line(step);
  append(text);
  JournalFollower follower(journal(), {2000, 3000});
  const RunRecord run = follower.read();
  ASSERT_GT(run.metrics.size(), 20u);
  EXPECT_LT(run.metrics.size(), 60u);
  EXPECT_EQ(run.metrics.front().step, 1);
  EXPECT_EQ(run.metrics.back().step, 10000);
  EXPECT_EQ(follower.skipped_bytes(), text.size() - 5000);
  EXPECT_EQ(follower.damaged_lines(), 0u);  // the pieces at the cuts are no lines
  append(metric_line(10001));
  EXPECT_EQ(follower.read().metrics.back().step, 10001);
}

TEST_F(Following, TakesNoLineOfAnySize) {
  append(metric_line(1) + "{\"kind\":\"" + std::string(20 << 20, 'x') + "\"}\n" + metric_line(2));
  JournalFollower follower(journal(), {64 << 20, 0});
  EXPECT_EQ(follower.read().metrics.size(), 2u);
  EXPECT_EQ(follower.damaged_lines(), 1u);
}

TEST_F(Following, ReadsAJournalAnewThatBecameShorter) {
  append(metric_line(1) + metric_line(2));
  JournalFollower follower(journal());
  follower.read();
  fs::resize_file(journal(), 0);
  append(metric_line(7));
  ASSERT_EQ(follower.read().metrics.size(), 1u);
}

TEST_F(Following, LosesNothingWhereAnUnfinishedLineIsCutOffAndWrittenOver) {
  append(metric_line(1) + metric_line(2).substr(0, 30));
  JournalFollower follower(journal());
  EXPECT_EQ(follower.read().metrics.size(), 1u);
  EXPECT_TRUE(follower.began_anew());
  fs::resize_file(journal(), metric_line(1).size());  // as the next attempt does
  append(metric_line(3) + metric_line(4));
  const RunRecord more = follower.read();
  ASSERT_EQ(more.metrics.size(), 2u);
  EXPECT_EQ(more.metrics[0].step, 3);
  EXPECT_FALSE(follower.began_anew());
  EXPECT_EQ(follower.damaged_lines(), 0u);
}

TEST_F(Following, ReadsAnotherFileOfTheSameNameAnew) {
  append(metric_line(1));
  JournalFollower follower(journal());
  follower.read();
  fs::rename(journal(), journal().string() + ".old");
  append(metric_line(5) + metric_line(6) + metric_line(7));
  EXPECT_EQ(follower.read().metrics.size(), 3u);
  EXPECT_TRUE(follower.began_anew());
}

TEST_F(Following, RefusesWhatIsNoFile) {
  EXPECT_THROW(JournalFollower(journal()).read(), StoreError);
  ASSERT_EQ(::mkfifo(journal().c_str(), 0600), 0);
  EXPECT_THROW(JournalFollower(journal()).read(), StoreError);
}

}  // namespace
}  // namespace tercet
