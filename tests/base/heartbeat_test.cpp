#include "tercet/base/heartbeat.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

namespace tercet {
namespace {

using heartbeat::Phase;
using heartbeat::place;
using heartbeat::Waiting;

class Heartbeat : public testing::Test {
 protected:
  void SetUp() override { heartbeat::follow_this_thread(); }
};

TEST_F(Heartbeat, BeatsOfEveryThreadCountButNotThoseOfAMutedOne) {
  const std::uint64_t before = place().beats;
  heartbeat::beat();
  std::thread([] { heartbeat::beat(); }).join();
  EXPECT_EQ(place().beats, before + 2);
  std::thread([] {
    heartbeat::mute_this_thread();
    heartbeat::beat();
    const Phase phase("of a muted thread");
  }).join();
  EXPECT_EQ(place().beats, before + 2);
}

TEST_F(Heartbeat, PhasesNestAndGiveBackWhatWasBefore) {
  Phase outer("fine-tune");
  outer.at(12, 40);
  {
    const Phase inner("evaluate");
    EXPECT_EQ(place().phase, "fine-tune > evaluate");
    EXPECT_EQ(place().total, 0U);
  }
  EXPECT_EQ(place().phase, "fine-tune");
  EXPECT_EQ(place().done, 12U);
  EXPECT_EQ(place().total, 40U);
}

TEST_F(Heartbeat, APhaseOfTheSameNameIsNotSaidTwice) {
  const Phase outer("calibrate");
  const Phase inner("calibrate");
  EXPECT_EQ(place().phase, "calibrate");
}

TEST_F(Heartbeat, LongNamesAreCutAndComeBackWhole) {
  const std::string name(70, 'x');
  const Phase outer(name);
  {
    const Phase middle("y" + name);
    const Phase inner("z");
    EXPECT_EQ(place().phase.substr(0, 70 + 4), name + " > y");
    EXPECT_LT(place().phase.size(), 100U);
  }
  EXPECT_EQ(place().phase, name);
}

TEST_F(Heartbeat, TheOutermostOfNestedWaitsCounts) {
  const std::uint64_t calls = place().calls;
  {
    const Waiting outer("all_gather", 64);
    const Waiting inner("broadcast", 8);
    EXPECT_TRUE(place().waiting);
    EXPECT_EQ(place().call, "all_gather");
    EXPECT_EQ(place().bytes, 64U);
  }
  EXPECT_FALSE(place().waiting);
  EXPECT_EQ(place().call, "all_gather");
  EXPECT_EQ(place().calls, calls + 1);
}

TEST_F(Heartbeat, EveryPhaseAndWaitIsASignOfLife) {
  const std::uint64_t before = place().beats;
  {
    Phase phase("work");
    phase.at(1, 2);
    const Waiting waiting("barrier");
  }
  EXPECT_EQ(place().beats, before + 5);
}

TEST_F(Heartbeat, OtherThreadsDoNotChangeThePlaceOfTheFollowedOne) {
  const Phase mine("fine-tune");
  std::thread([] {
    const Phase phase("write a checkpoint");
    const Waiting waiting("barrier");
    EXPECT_EQ(place().phase, "fine-tune");
    EXPECT_FALSE(place().waiting);
  }).join();
  EXPECT_EQ(place().thread, ::syscall(SYS_gettid));
}

}  // namespace
}  // namespace tercet
