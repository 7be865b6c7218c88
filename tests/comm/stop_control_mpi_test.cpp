#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/comm/stop_control.hpp"

namespace tercet {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TEST(StopControl, IsNotDueWithoutAReason) {
  StopControl stop(test::world(), {});
  EXPECT_FALSE(stop.due(1e6));
  EXPECT_EQ(stop.reason(), StopReason::kNone);
}

TEST(StopControl, TheLargestLeadOfAnyRankCountsAgainstRankZerosTime) {
  Communicator& comm = test::world();
  const auto end = comm.is_root() ? std::optional(now() + 100) : std::nullopt;
  StopControl stop(comm, {"", end});
  EXPECT_FALSE(stop.due(10));
  EXPECT_TRUE(stop.due(comm.rank() == comm.size() - 1 ? 1000 : 0));
  EXPECT_EQ(stop.reason(), StopReason::kTime);
  EXPECT_THROW(stop.leave("the test"), StopRequested);
}

TEST(StopControl, AFileSeenByRankZeroStopsAll) {
  Communicator& comm = test::world();
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "tercet-stop-control-test";
  on_root(comm, [&] {
    std::filesystem::remove(file);
    return std::string();
  });
  StopControl stop(comm, {file, {}});
  EXPECT_FALSE(stop.due());
  on_root(comm, [&] {
    std::ofstream(file) << "stop";
    return std::string();
  });
  EXPECT_TRUE(stop.due());
  EXPECT_EQ(stop.reason(), StopReason::kRequest);
  comm.barrier();
  if (comm.is_root()) std::filesystem::remove(file);
}

TEST(AllocationEndTime, IsTakenFromTheEnvironmentOfTheBatchSystem) {
  ASSERT_EQ(setenv("SLURM_JOB_END_TIME", "1764109800", 1), 0);
  EXPECT_EQ(allocation_end_time(), 1764109800.0);
  ASSERT_EQ(setenv("SLURM_JOB_END_TIME", "soon", 1), 0);
  EXPECT_FALSE(allocation_end_time());
  unsetenv("SLURM_JOB_END_TIME");
  EXPECT_FALSE(allocation_end_time());
}

}  // namespace
}  // namespace tercet
