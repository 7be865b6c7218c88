#include "tercet/comm/watchdog.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "comm/mailbox.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/comm/mpi_handle.hpp"

namespace tercet {
namespace {

using namespace std::chrono_literals;

// Waits until it is, or a minute, which is for ever on any machine. The ranks talk about once a second.
template <class Condition>
bool comes_true(Condition done) {
  for (int turn = 0; turn < 6000; ++turn) {
    if (done()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

TEST(Watchdog, RankZeroLearnsWhereEveryRankIs) {
  Communicator& world = test::world();
  Watchdog& watchdog = test::runtime().watchdog();
  {
    const heartbeat::Phase phase("phase of rank " + std::to_string(world.rank()));
    const auto knows_all = [&] {
      for (const RankState& state : watchdog.ranks()) {
        if (state.place.phase != "phase of rank " + std::to_string(state.rank)) return false;
      }
      return true;
    };
    if (world.is_root()) {
      EXPECT_TRUE(comes_true(knows_all)) << table_of(watchdog.ranks());
    }
    world.idle_barrier();
  }
  EXPECT_EQ(watchdog.keeps_watch(), world.is_root());
}

TEST(Watchdog, ARankThatWaitsSaysWhereAndForHowLong) {
  Communicator& world = test::world();
  if (world.size() == 1) GTEST_SKIP() << "nobody to wait for";
  Watchdog& watchdog = test::runtime().watchdog();
  if (world.is_root()) {
    EXPECT_TRUE(comes_true([&] {
      const RankState last = watchdog.ranks().back();
      return last.place.waiting && last.place.call == "idle_barrier" && last.idle_s > 0;
    })) << table_of(watchdog.ranks());
  }
  world.idle_barrier();
}

class MailboxOfTheWorld : public testing::Test {
 protected:
  void SetUp() override {
    const MPI_Comm world = mpi_handle(test::world());
    if (world == MPI_COMM_NULL) GTEST_SKIP() << "one rank";
    mailbox_.emplace(world, 4);
  }
  std::optional<comm::Mailbox> mailbox_;
};

TEST_F(MailboxOfTheWorld, CarriesAMessageFromEveryRankToEveryOther) {
  const int size = test::world().size();
  for (int to = 0; to < size; ++to) {
    if (to != test::world().rank()) mailbox_->send(to, "abcd");
  }
  int received = 0;
  EXPECT_TRUE(comes_true([&] {
    while (const auto message = mailbox_->receive()) {
      EXPECT_EQ(*message, "abcd");
      ++received;
    }
    return received == size - 1;
  }));
  mailbox_->close();
}

TEST_F(MailboxOfTheWorld, NeitherWaitsForAReaderNorPilesUp) {
  const int rank = test::world().rank(), size = test::world().size();
  for (int turn = 0; turn < 10000; ++turn) mailbox_->send((rank + 1) % size, "abcd");  // of which one goes out
  test::world().barrier();
  int received = 0;
  EXPECT_TRUE(comes_true([&] {
    while (mailbox_->receive()) ++received;
    return received > 0;
  }));
  EXPECT_EQ(received, 1);
  mailbox_->close();
}

TEST_F(MailboxOfTheWorld, ClosesWithMessagesUnderWay) {
  for (int to = 0; to < test::world().size(); ++to) {
    if (to != test::world().rank()) mailbox_->send(to, "lost");
  }
  mailbox_->close();
}

}  // namespace
}  // namespace tercet
