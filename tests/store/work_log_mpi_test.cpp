#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// A folder that all ranks see.
class WorkLogOnRanks : public ::testing::Test {
 protected:
  // Units whose outcome is their square. Counts what is computed here, and keeps what is given here.
  UnitWork squares(std::uint64_t count) {
    UnitWork work;
    work.name = "squares";
    work.count = count;
    work.compute = [this](std::uint64_t unit) {
      ++computed_;
      return std::to_string(unit * unit);
    };
    work.take = [this](std::uint64_t unit, std::string_view outcome) { taken_[unit] = std::string(outcome); };
    return work;
  }
  std::int64_t computed_everywhere() { return all_reduce_value(comm_, computed_, Reduce::kSum); }

  Communicator& comm_ = test::world();
  test::SharedScratchFolder shared_;
  const fs::path folder_ = shared_.path();
  std::int64_t computed_ = 0;
  std::map<std::uint64_t, std::string> taken_;
};

TEST_F(WorkLogOnRanks, EachUnitIsGivenToOneRank) {
  WorkLog log(comm_, folder_, "job");
  run_units(comm_, squares(17), &log, nullptr);
  EXPECT_EQ(computed_everywhere(), 17);
  EXPECT_EQ(all_reduce_value(comm_, static_cast<std::int64_t>(taken_.size()), Reduce::kSum), 17);
  for (const auto& [unit, outcome] : taken_) EXPECT_EQ(outcome, std::to_string(unit * unit));
}

TEST_F(WorkLogOnRanks, AllRanksGetAllOutcomesInOrder) {
  const std::vector<std::string> outcomes = run_units_for_all(comm_, squares(9), nullptr, nullptr);
  ASSERT_EQ(outcomes.size(), 9U);
  for (std::uint64_t unit = 0; unit < 9; ++unit) EXPECT_EQ(outcomes[unit], std::to_string(unit * unit));
}

TEST_F(WorkLogOnRanks, FinishedUnitsAreNotComputedAgain) {
  {
    WorkLog log(comm_, folder_, "job");
    run_units(comm_, squares(11), &log, nullptr);
    EXPECT_EQ(log.size(), 0U);  // what was added since is not counted: other ranks do not see it yet
  }
  computed_ = 0;
  WorkLog log(comm_, folder_, "job");
  EXPECT_EQ(log.size(), 11U);
  const std::vector<std::string> outcomes = run_units_for_all(comm_, squares(13), &log, nullptr);
  EXPECT_EQ(computed_everywhere(), 2);
  EXPECT_EQ(outcomes[12], "144");
}

TEST_F(WorkLogOnRanks, TheWorkOfAnotherJobIsNotTakenUp) {
  { WorkLog(comm_, folder_, "one").add("squares/" + std::to_string(comm_.rank()), "wrong"); }
  comm_.barrier();
  WorkLog log(comm_, folder_, "two");
  EXPECT_EQ(log.size(), 0U);
}

TEST_F(WorkLogOnRanks, ARecordThatWasCutOrChangedIsComputedAgain) {
  {
    WorkLog log(comm_, folder_, "job");
    run_units(comm_, squares(6), &log, nullptr);
  }
  on_root(comm_, [&] {
    int damaged = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {  // one file loses a byte, another's last byte flips
      if (damaged++ % 2 == 0) {
        fs::resize_file(entry.path(), fs::file_size(entry.path()) - 1);
      } else {
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(-1, std::ios::end);
        const char last = static_cast<char>(file.get());
        file.seekp(-1, std::ios::end);
        file.put(static_cast<char>(last ^ 1));
      }
    }
    return std::string();
  });
  computed_ = 0;
  WorkLog log(comm_, folder_, "job");
  EXPECT_LT(log.size(), 6U);
  const auto lost = static_cast<std::int64_t>(6 - log.size());
  const std::vector<std::string> outcomes = run_units_for_all(comm_, squares(6), &log, nullptr);
  EXPECT_EQ(computed_everywhere(), lost);
  for (std::uint64_t unit = 0; unit < 6; ++unit) EXPECT_EQ(outcomes[unit], std::to_string(unit * unit));
}

TEST_F(WorkLogOnRanks, AnErrorOnOneRankIsThrownOnAllAndTheOthersWorkIsKept) {
  UnitWork work = squares(8);
  const auto square = work.compute;
  work.compute = [&](std::uint64_t unit) {
    if (unit == 5) throw NumericError("unit five is not finite");
    return square(unit);
  };
  {
    WorkLog log(comm_, folder_, "job");
    EXPECT_THROW(run_units(comm_, work, &log, nullptr), NumericError);
  }
  comm_.barrier();
  EXPECT_GT(WorkLog(comm_, folder_, "job").size(), 0U);
}

TEST_F(WorkLogOnRanks, AStopIsThrownOnAllRanksAtTheSameBorder) {
  const fs::path request = folder_ / "stop.request";
  UnitWork work = squares(40);
  const auto square = work.compute;
  work.compute = [&](std::uint64_t unit) {
    if (unit == 0) std::ofstream(request) << "stop";
    return square(unit);
  };
  StopControl stop(comm_, {request, {}});
  {
    WorkLog log(comm_, folder_ / "log", "job");
    EXPECT_THROW(run_units(comm_, work, &log, &stop), StopRequested);
  }
  EXPECT_EQ(stop.reason(), StopReason::kRequest);
  EXPECT_EQ(computed_everywhere(), comm_.size());  // one round
  EXPECT_EQ(WorkLog(comm_, folder_ / "log", "job").size(), static_cast<std::size_t>(comm_.size()));
}

TEST_F(WorkLogOnRanks, AllRecordsCanBeReadTogetherAfterwards) {
  {
    WorkLog log(comm_, folder_, "job");
    run_units(comm_, squares(10), &log, nullptr);
  }
  comm_.barrier();
  const WorkRecords records(folder_, "job");
  for (std::uint64_t unit = 0; unit < 10; ++unit) {
    EXPECT_EQ(records.find("squares/" + std::to_string(unit)), std::to_string(unit * unit));
  }
  EXPECT_FALSE(records.find("squares/10"));
}

}  // namespace
}  // namespace tercet
