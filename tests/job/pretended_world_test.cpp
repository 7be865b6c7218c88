#include "job/pretended_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace tercet::job {
namespace {

WorldItems some_work() {
  WorldItems items;
  items.calibration_samples = 5000;
  items.calibration_shards = 1500;
  items.sequences_per_step = 3000;
  items.evaluation_windows = 200;
  items.selection_windows = 48;
  items.evaluation_batch = 8;
  items.calibrated_layers = 224;
  items.text_blocks = 900;
  return items;
}

const Sharing& find(const std::vector<Sharing>& world, const std::string& what) {
  return *std::find_if(world.begin(), world.end(), [&](const Sharing& share) { return share.what == what; });
}

TEST(PretendedWorld, EveryItemIsOnExactlyOneRankForAnyNumberOfRanks) {
  for (const int ranks : {1, 2, 3, 7, 8, 16, 100, 1024, 1500}) {
    for (const Sharing& share : pretend_world(some_work(), ranks)) {
      EXPECT_TRUE(share.exact) << share.what << " on " << ranks;
    }
  }
}

TEST(PretendedWorld, RunsOfItemsDifferByOneAtMost) {
  for (const Sharing& share : pretend_world(some_work(), 1024)) {
    if (share.what != "calibration sequences") {
      EXPECT_LE(share.most - share.least, 1U) << share.what;
    }
  }
}

TEST(PretendedWorld, SaysHowManyRanksHaveNothingToDo) {
  const auto world = pretend_world(some_work(), 1024);
  EXPECT_EQ(find(world, "calibration shards").idle, 0);
  EXPECT_EQ(find(world, "batches of evaluation windows").items, 25U);
  EXPECT_EQ(find(world, "batches of evaluation windows").idle, 1024 - 25);
  EXPECT_EQ(find(world, "layers to find thresholds for").idle, 1024 - 224);
}

TEST(PretendedWorld, HoldsSixtyFiveThousandRanks) {
  WorldItems items = some_work();
  items.calibration_shards = items.calibration_samples = 65536;
  items.sequences_per_step = 65536;
  for (const Sharing& share : pretend_world(items, 65536)) {
    EXPECT_TRUE(share.exact) << share.what;
  }
}

TEST(DealRuns, FindsAHoleAnOverlapAndARest) {
  const auto exact = [](const std::vector<ShardRange>& runs, std::uint64_t items) {
    const auto run_of = [&](int rank) { return runs[static_cast<std::size_t>(rank)]; };
    return deal_runs("things", items, static_cast<int>(runs.size()), run_of).exact;
  };
  EXPECT_TRUE(exact({{0, 3}, {3, 5}, {5, 5}}, 5));
  EXPECT_FALSE(exact({{0, 3}, {4, 5}}, 5));
  EXPECT_FALSE(exact({{0, 3}, {2, 5}}, 5));
  EXPECT_FALSE(exact({{0, 3}, {3, 4}}, 5));
  EXPECT_FALSE(exact({{0, 3}, {3, 6}}, 5));
}

TEST(DealUnits, FindsAUnitThatNobodyHas) {
  const auto one = [](std::uint64_t unit) { return ShardRange{unit, unit + 1}; };
  const auto in_turn = [](std::uint64_t unit) { return static_cast<int>(unit % 2); };
  const auto beyond = [](std::uint64_t unit) { return static_cast<int>(unit); };
  EXPECT_TRUE(deal_units("things", 5, 2, {5, one, in_turn}).exact);
  EXPECT_FALSE(deal_units("things", 5, 2, {5, one, beyond}).exact);
}

}  // namespace
}  // namespace tercet::job
