// Who keeps watch, and when a job hangs: courses of events in made-up time.
#include "comm/watch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace tercet {
namespace {

using comm::find_hang;
using comm::Hang;
using comm::Watch;

constexpr double kTimeout = 80;

RankState working(int rank, double idle_s = 0) {
  RankState state;
  state.rank = rank;
  state.known = true;
  state.host = "node" + std::to_string(rank);
  state.pid = 100 + rank;
  state.place.phase = "fine-tune";
  state.place.done = 12;
  state.place.total = 40;
  state.idle_s = idle_s;
  return state;
}

RankState waiting(int rank, double idle_s = 0, const std::string& call = "all_reduce") {
  RankState state = working(rank, idle_s);
  state.place.waiting = true;
  state.place.call = call;
  state.place.calls = 7;
  state.place.bytes = 4096;
  return state;
}

std::vector<int> hanging(const std::vector<RankState>& ranks) {
  const auto hang = find_hang(ranks, kTimeout);
  return hang ? hang->ranks : std::vector<int>();
}

using Ranks = std::vector<int>;

TEST(FindHang, ARankThatWaitsIsNeverAtFaultWhileAnotherWorks) {
  EXPECT_EQ(hanging({working(0, 79), waiting(1, 1e6), waiting(2, 1e6)}), Ranks());
}

TEST(FindHang, ARankWithoutASignOfLifeIsNamed) {
  const auto hang = find_hang(std::vector{waiting(0, 81), working(1, 80), waiting(2, 82)}, kTimeout);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->ranks, Ranks({1}));
  EXPECT_EQ(hang->sentence,
            "the job hangs: rank 1 on node1 gave no sign of life for 1 min 20 s in fine-tune 12/40 (works)");
}

TEST(FindHang, OtherRanksThatGetOnDoNotExcuseIt) {
  EXPECT_EQ(hanging({working(0), working(1, 80), working(2)}), Ranks({1}));
}

TEST(FindHang, ARankThatIsNotHeardOfIsAtFaultWhateverItSaidLast) {
  for (RankState last : {working(1), waiting(1)}) {
    last.silent_s = 80;
    const auto hang = find_hang(std::vector{waiting(0, 79), last}, kTimeout);
    ASSERT_TRUE(hang);
    EXPECT_EQ(hang->ranks, Ranks({1}));
    EXPECT_NE(hang->sentence.find("rank 1 on node1 was not heard of for 1 min 20 s, last in fine-tune 12/40"),
              std::string::npos)
        << hang->sentence;
  }
}

TEST(FindHang, SilenceAddsToTheTimeWithoutASignOfLife) {
  RankState state = working(1, 50);
  state.silent_s = 30;
  EXPECT_EQ(hanging({waiting(0), state}), Ranks({1}));
}

TEST(FindHang, ARankThatWasNeverHeardOfIsAtFaultAfterTheTimeout) {
  RankState never;
  never.rank = 1;
  never.silent_s = 79;
  EXPECT_EQ(hanging({waiting(0, 500), never}), Ranks());
  never.silent_s = 80;
  EXPECT_EQ(hanging({waiting(0, 500), never}), Ranks({1}));
}

TEST(FindHang, RanksThatAllWaitForEachOtherHang) {
  EXPECT_EQ(hanging({waiting(0, 80), waiting(1, 79)}), Ranks());
  const auto hang = find_hang(std::vector{waiting(0, 80), waiting(1, 90, "barrier")}, kTimeout);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->ranks, Ranks({0, 1}));
  EXPECT_NE(hang->sentence.find("(waits in all_reduce of 4.10 kB (call 7))"), std::string::npos) << hang->sentence;
  EXPECT_NE(hang->sentence.find("(waits in barrier of 4.10 kB (call 7)); all ranks wait for each other"),
            std::string::npos)
      << hang->sentence;
}

TEST(FindHang, OfManyRanksTheSentenceNamesAFew) {
  std::vector<RankState> ranks;
  for (int r = 0; r < 100; ++r) ranks.push_back(working(r, 80));
  const auto hang = find_hang(ranks, kTimeout);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->ranks.size(), 100U);
  EXPECT_NE(hang->sentence.find("and 96 more ranks"), std::string::npos);
}

// Ranks that talk as the watchdogs do: once a second, those alive to their keeper, keepers to all.
class Job {
 public:
  explicit Job(int size) : stopped_(static_cast<std::size_t>(size)) {
    for (int r = 0; r < size; ++r) watches_.emplace_back(r, size);
  }
  void stop(int rank) { stopped_[static_cast<std::size_t>(rank)] = true; }
  void go_on(int rank) { stopped_[static_cast<std::size_t>(rank)] = false; }
  Watch& watch(int rank) { return watches_[static_cast<std::size_t>(rank)]; }

  // Every rank but those stopped waits in a collective call. Returns who says what, if anybody did.
  std::optional<Hang> run(int seconds, double timeout_s = kTimeout) {
    for (int second = 0; second < seconds; ++second) {
      for (Watch& watch : watches_) {
        const int rank = static_cast<int>(&watch - watches_.data());
        if (!stopped_[static_cast<std::size_t>(rank)]) step(watch, rank, timeout_s);
      }
      for (Watch& watch : watches_) {
        if (const auto hang = watch.hang(timeout_s)) {
          reporter_ = static_cast<int>(&watch - watches_.data());
          return hang;
        }
      }
      ++now_;
    }
    return std::nullopt;
  }
  int now() const { return now_; }
  int reporter() const { return reporter_; }

 private:
  void step(Watch& watch, int rank, double timeout_s) {
    watch.pass(1, timeout_s);
    const RankState state = working(rank);
    watch.heard(state);
    for (int to = 0; to < static_cast<int>(watches_.size()); ++to) {
      if (to == rank || stopped_[static_cast<std::size_t>(to)]) continue;
      if (watch.keeps() || watch.keeper() == to) watches_[static_cast<std::size_t>(to)].heard(state);
    }
  }

  std::vector<Watch> watches_;
  std::vector<bool> stopped_;
  int now_ = 0, reporter_ = -1;
};

TEST(Watch, RankZeroKeepsWatchAndHearsOfAll) {
  Job job(5);
  EXPECT_FALSE(job.run(1000));
  for (int r = 0; r < 5; ++r) EXPECT_EQ(job.watch(r).keeper(), 0);
  for (const RankState& state : job.watch(0).ranks()) EXPECT_LE(state.silent_s, 1);
}

TEST(Watch, AStoppedRankIsFoundWithinTheTimeout) {
  Job job(4);
  job.run(100);
  job.stop(2);
  const auto hang = job.run(100);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->ranks, Ranks({2}));
  EXPECT_EQ(job.reporter(), 0);
  EXPECT_LE(job.now(), 100 + kTimeout + 1);
}

TEST(Watch, WhenRankZeroIsStoppedTheNextOneReportsAndKnowsTheOthers) {
  Job job(4);
  job.run(100);
  job.stop(0);
  const auto hang = job.run(100);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->ranks, Ranks({0}));
  EXPECT_EQ(job.reporter(), 1);
  EXPECT_LE(job.now(), 100 + kTimeout + 1);
  for (int r = 1; r < 4; ++r) EXPECT_TRUE(job.watch(1).ranks()[static_cast<std::size_t>(r)].known);
}

TEST(Watch, RankZeroTakesOverAgainWhenItGoesOn) {
  Job job(4);
  job.run(10);
  job.stop(0);
  EXPECT_FALSE(job.run(30));
  EXPECT_EQ(job.watch(3).keeper(), 1);
  job.go_on(0);
  EXPECT_FALSE(job.run(1000));
  for (int r = 0; r < 4; ++r) EXPECT_EQ(job.watch(r).keeper(), 0);
}

TEST(Watch, AWholeNodeWithTheFirstRanksGoneIsFoundSoon) {
  for (const int gone : {2, 7, 8, 63}) {
    Job job(64);
    job.run(20);
    for (int r = 0; r < gone; ++r) job.stop(r);
    const auto hang = job.run(1000);
    ASSERT_TRUE(hang) << gone;
    EXPECT_EQ(hang->ranks.front(), 0);
    EXPECT_GE(job.reporter(), gone);
    EXPECT_LE(job.now(), 20 + 1.5 * kTimeout) << gone;
  }
}

TEST(Watch, LeavesTheReportToARankThatIsEndingTheJobForAMinute) {
  Watch watch(0, 2);
  RankState other = working(1);
  other.ends_job = true;
  watch.heard(other);
  watch.pass(59, 40);
  watch.heard(working(0, 59));
  EXPECT_TRUE(watch.left_to_another());
  EXPECT_FALSE(watch.hang(40));
  watch.pass(1, 40);
  EXPECT_TRUE(watch.hang(40));
}

TEST(Watch, ASingleRankWatchesItself) {
  Watch watch(0, 1);
  watch.pass(kTimeout, kTimeout);
  watch.heard(working(0, 79));
  EXPECT_FALSE(watch.hang(kTimeout));
  watch.heard(working(0, 80));
  EXPECT_TRUE(watch.hang(kTimeout));
}

TEST(Watch, IgnoresWhatClaimsToBeARankThatIsNotThere) {
  Watch watch(0, 2);
  watch.heard(working(2));
  watch.heard(working(-1));
  EXPECT_EQ(watch.ranks().size(), 2U);
}

TEST(RankState, TravelsWhole) {
  RankState sent = waiting(3, 1.5, "the end of a reduction");
  sent.thread_state = 'D';
  sent.ends_job = true;
  sent.memory_bytes = 12345;
  const std::string wire = comm::encode(sent);
  EXPECT_EQ(wire.size(), comm::encoded_size());
  const RankState got = comm::decode_rank_state(wire);
  EXPECT_EQ(table_of({sent}), table_of({got}));
  EXPECT_EQ(got.pid, sent.pid);
  EXPECT_EQ(got.thread_state, 'D');
  EXPECT_TRUE(got.ends_job);
  EXPECT_EQ(got.memory_bytes, 12345U);
  EXPECT_TRUE(got.place.waiting);
}

TEST(RankState, TextsThatAreTooLongAreCut) {
  RankState sent = working(0);
  sent.host = std::string(300, 'h');
  sent.place.phase = std::string(300, 'p');
  const RankState got = comm::decode_rank_state(comm::encode(sent));
  EXPECT_EQ(got.host, std::string(got.host.size(), 'h'));
  EXPECT_GT(got.host.size(), 50U);
  EXPECT_EQ(got.place.phase, std::string(got.place.phase.size(), 'p'));
}

}  // namespace
}  // namespace tercet
