#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <typeinfo>

#include "comm/call_check.hpp"
#include "comm/mpi_communicator.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/comm/communicator.hpp"

namespace tercet {
namespace {

struct Caught {
  std::string type;
  std::string text;
  int exit_code = 0;
};

std::optional<Caught> caught_from(const std::function<void()>& action) {
  try {
    action();
    return std::nullopt;
  } catch (const Error& error) {
    return Caught{typeid(error).name(), error.what(), static_cast<int>(error.exit_code())};
  }
}

template <typename Kind>
void expect_on_all(int failing_rank, ExitCode code) {
  Communicator& world = test::world();
  const auto caught = caught_from([&] {
    on_every_rank(world, [&] {
      if (world.rank() == failing_rank) throw Kind("problem\nin two lines", "reason", "hint");
    });
  });
  ASSERT_TRUE(caught.has_value());
  EXPECT_EQ(caught->type, typeid(Kind).name());
  EXPECT_EQ(caught->text, "problem\nin two lines (reason); hint");
  EXPECT_EQ(caught->exit_code, static_cast<int>(code));
}

TEST(OnEveryRank, CarriesClassTextAndExitCodeToAllRanks) {
  for (int rank = 0; rank < test::world().size(); ++rank) {
    expect_on_all<ConfigError>(rank, ExitCode::kUsage);
    expect_on_all<DataError>(rank, ExitCode::kBadInput);
    expect_on_all<StoreError>(rank, ExitCode::kIo);
    expect_on_all<CommError>(rank, ExitCode::kInternal);
    expect_on_all<NumericError>(rank, ExitCode::kInternal);
    expect_on_all<StopRequested>(rank, ExitCode::kStopped);
  }
}

TEST(OnEveryRank, KeepsTheExitCodeOfAPlainError) {
  const auto caught = caught_from(
      [] { on_every_rank(test::world(), [] { throw Error(ExitCode::kGateFailed, "a gate failed", "", ""); }); });
  ASSERT_TRUE(caught.has_value());
  EXPECT_EQ(caught->exit_code, 3);
}

TEST(OnEveryRank, TheLowestFailingRankSpeaks) {
  Communicator& world = test::world();
  const int lowest = world.size() / 2;
  const auto caught = caught_from([&] {
    on_every_rank(world, [&] {
      if (world.rank() >= lowest) throw DataError("from rank " + std::to_string(world.rank()));
    });
  });
  ASSERT_TRUE(caught.has_value());
  EXPECT_EQ(caught->text, "from rank " + std::to_string(lowest));
}

TEST(OnEveryRank, AForeignExceptionNamesItsRankAndBecomesAnInternalError) {
  Communicator& world = test::world();
  const int last = world.size() - 1;
  const auto caught = caught_from([&] {
    on_every_rank(world, [&] {
      if (world.rank() == last) throw std::out_of_range("index 9\nException raised from somewhere\n#0 frame");
    });
  });
  ASSERT_TRUE(caught.has_value());
  EXPECT_EQ(caught->text, "unexpected error on rank " + std::to_string(last) + ": index 9");
  EXPECT_EQ(caught->exit_code, 70);
}

TEST(OnEveryRank, IsQuietWhenNothingFailed) {
  int runs = 0;
  on_every_rank(test::world(), [&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(OnRoot, GivesItsResultToAllAndRunsOnce) {
  Communicator& world = test::world();
  int runs = 0;
  const std::string result = on_root(world, [&] {
    ++runs;
    return std::string("a result\0with a zero byte", 25);
  });
  EXPECT_EQ(result.size(), 25u);
  EXPECT_EQ(runs, world.is_root() ? 1 : 0);
  EXPECT_EQ(on_root(world, [] { return std::string(); }), "");
}

TEST(OnRoot, ThrowsItsErrorOnAll) {
  const auto caught = caught_from([] {
    on_root(test::world(), []() -> std::string { throw StoreError("disk full", "ENOSPC", "free some space"); });
  });
  ASSERT_TRUE(caught.has_value());
  EXPECT_EQ(caught->type, typeid(StoreError).name());
  EXPECT_EQ(caught->text, "disk full (ENOSPC); free some space");
}

TEST(OnRoot, OtherRanksSleepMeanwhile) {
  Communicator& world = test::world();
  const std::clock_t before = std::clock();
  on_root(world, [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return std::string();
  });
  EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 0.15);
}

TEST(Conveniences, BroadcastStringAndValues) {
  Communicator& world = test::world();
  for (int root = 0; root < world.size(); ++root) {
    const std::string mine(static_cast<std::size_t>(world.rank() * 1000), char('a' + world.rank()));
    EXPECT_EQ(broadcast_string(world, mine, root),
              std::string(static_cast<std::size_t>(root * 1000), char('a' + root)));
  }
  EXPECT_EQ(all_reduce_value(world, std::int64_t{1}, Reduce::kSum), world.size());
  EXPECT_EQ(all_reduce_value(world, double(world.rank()), Reduce::kMax), world.size() - 1.0);
  EXPECT_EQ(all_reduce_value(world, double(world.rank()), Reduce::kMin), 0.0);
}

class CallChecks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::runtime().control().backend() != "mpi" || test::world().size() < 2) GTEST_SKIP() << "needs two ranks";
    comm_ = std::make_unique<comm::MpiCommunicator>(MPI_COMM_WORLD, comm::MpiSettings{comm::kDefaultChunk, true});
  }
  std::string error_of(const std::function<void()>& action) { return test::message_of<Error>(action); }
  std::unique_ptr<comm::MpiCommunicator> comm_;
};

TEST_F(CallChecks, EqualCallsPass) {
  double value = 1;
  comm_->barrier();
  comm_->all_reduce(std::span(&value, 1), Reduce::kSum);
  EXPECT_EQ(comm_->all_gather(std::string(static_cast<std::size_t>(comm_->rank()), 'x')).size(),
            std::size_t(comm_->size()));
  comm_->idle_barrier();
  EXPECT_EQ(value, comm_->size());
}

TEST_F(CallChecks, ARankThatMakesAnotherCallIsNamedOnAllRanks) {
  const int odd = comm_->size() - 1;
  double value = 1;
  comm_->barrier();
  const std::string text = error_of([&] {
    if (comm_->rank() == odd) {
      comm_->barrier();
    } else {
      comm_->all_reduce(std::span(&value, 1), Reduce::kSum);
    }
  });
  EXPECT_MENTIONS(text, "rank 0 makes all_reduce (float64 sum) of 8 bytes as its call 2");
  EXPECT_MENTIONS(text, "rank " + std::to_string(odd) + " makes barrier as its call 2");
}

TEST_F(CallChecks, ADifferentSizeOrReductionIsCaught) {
  std::vector<double> values(4, 1.0);
  const std::size_t size = comm_->is_root() ? 4 : 3;
  EXPECT_MENTIONS(error_of([&] { comm_->all_reduce(std::span(values.data(), size), Reduce::kSum); }), "24 bytes");
  const Reduce op = comm_->is_root() ? Reduce::kMax : Reduce::kSum;
  EXPECT_MENTIONS(error_of([&] { comm_->all_reduce(std::span(values), op); }), "float64 max");
  const int root = comm_->is_root() ? 0 : 1;
  EXPECT_MENTIONS(error_of([&] { comm_->broadcast(std::as_writable_bytes(std::span(values)), root); }), "(from 1)");
}

TEST(DebugBuild, ChecksCallsAndTheReleaseBuildDoesNot) {
#ifdef NDEBUG
  EXPECT_FALSE(comm::kCheckCalls);
#else
  EXPECT_TRUE(comm::kCheckCalls);
#endif
}

}  // namespace
}  // namespace tercet
