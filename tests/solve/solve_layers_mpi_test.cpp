#include "tercet/solve/solve_layers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "solve/problems.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

// Layers of different sizes, so that ranks get different numbers of them; the last cannot be compensated.
struct Layers {
  Layers() {
    for (std::uint64_t i = 0; i < 6; ++i) {
      const auto columns = static_cast<std::int64_t>(16 + 8 * i);
      statistics.push_back(test::statistics_of(test::correlated_inputs(20 * i, 200, columns)));
      statistics.back().name = "layer " + std::to_string(i);
    }
    statistics.back().second_moment.neg_();
    for (std::uint64_t i = 0; i < 6; ++i) {
      problems.push_back({statistics[i].name, test::weights(i, 10, statistics[i].mean_square.size(0)), &statistics[i],
                          test::spec_by(i % 2 == 0 ? Granularity::kGroup : Granularity::kChannel)});
    }
  }
  std::vector<LayerStatistics> statistics;
  std::vector<LayerProblem> problems;
};

std::vector<std::string> bytes_of(const std::vector<LayerSolution>& solutions) {
  std::vector<std::string> bytes;
  for (const LayerSolution& solution : solutions) bytes.push_back(to_bytes(solution));
  return bytes;
}

TEST(SolveLayers, GivesEveryRankTheBitsOfOneRank) {
  const Layers layers;
  const auto alone = make_self_communicator();
  const auto expected = solve_layers(*alone, layers.problems, {});
  const auto got = solve_layers(test::world(), layers.problems, {});
  EXPECT_EQ(bytes_of(got), bytes_of(expected));
  EXPECT_EQ(got.back().report.method, "rounding");
  EXPECT_NE(got.back().report.fallback, "");
}

TEST(SolveLayers, TakesFinishedLayersFromTheLogOfAnyRank) {
  Communicator& comm = test::world();
  const Layers layers;
  std::map<std::string, std::string> kept;
  const SolutionLog log{[&](const std::string& key) {
                          const auto entry = kept.find(key);
                          return entry == kept.end() ? std::nullopt : std::optional(entry->second);
                        },
                        [&](const std::string& key, const std::string& bytes) { kept[key] = bytes; }};
  const auto first = bytes_of(solve_layers(comm, layers.problems, {}, log));
  const auto total = all_reduce_value(comm, static_cast<std::int64_t>(kept.size()), Reduce::kSum);
  EXPECT_EQ(total, 6);  // each by its owner
  kept.erase("layer 2");
  std::vector<LayerProblem> again = layers.problems;  // what is known needs no statistics
  for (LayerProblem& problem : again) {
    if (problem.name != "layer 2") problem.statistics = nullptr;
  }
  EXPECT_EQ(bytes_of(solve_layers(comm, again, {}, log)), first);
}

TEST(SolveLayers, ThrowsTheErrorOfOneLayerOnAllRanks) {
  Layers layers;
  layers.problems[3].weight[0][0] = INFINITY;
  EXPECT_THROW(solve_layers(test::world(), layers.problems, {}), NumericError);
}

TEST(Owners, ShareTheCostOut) {
  const std::vector<int> owners = owners_by_cost({1, 8, 3, 4, 2}, 2);
  EXPECT_EQ(owners, (std::vector<int>{0, 0, 1, 1, 1}));  // 8 | 4 + 3 + 2, then 8 + 1
  EXPECT_EQ(owners_by_cost({5, 1}, 4), (std::vector<int>{0, 1}));
}

}  // namespace
}  // namespace tercet
