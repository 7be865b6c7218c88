#include <gtest/gtest.h>

#include "job/element_packing.hpp"

namespace tercet::job {
namespace {

const Slots kNode{{0, 1, 2, 3}, {"0", "1"}};

TEST(Packing, SmallElementsGetDisjointCpusAndGpus) {
  Slots free = kNode;
  const auto first = take(kNode, free, {2, 1}), second = take(kNode, free, {2, 1});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->cpus, (std::vector<int>{0, 1}));
  EXPECT_EQ(first->gpus, (std::vector<std::string>{"0"}));
  EXPECT_EQ(second->cpus, (std::vector<int>{2, 3}));
  EXPECT_EQ(second->gpus, (std::vector<std::string>{"1"}));
  EXPECT_FALSE(take(kNode, free, {1, 0}));
}

TEST(Packing, ALargeElementWaitsUntilTheNodeIsEmptyAndThenHasItAlone) {
  for (const std::int64_t cpus : {0, 4, 64}) {
    Slots free = kNode;
    const auto small = take(kNode, free, {1, 0});
    EXPECT_FALSE(take(kNode, free, {cpus, 0})) << cpus;
    EXPECT_EQ(free.cpus.size(), 3u) << "a refused element must take nothing";
    give_back(free, *small);
    const auto large = take(kNode, free, {cpus, 0});
    ASSERT_TRUE(large) << cpus;
    EXPECT_EQ(large->cpus, kNode.cpus);
    EXPECT_FALSE(take(kNode, free, {1, 0})) << cpus;
  }
}

TEST(Packing, WhatWasGivenBackIsTakenAgainFromTheLowestNumber) {
  Slots free = kNode;
  const auto first = take(kNode, free, {2, 2});
  const auto second = take(kNode, free, {1, 0});
  give_back(free, *first);
  EXPECT_EQ(free.cpus, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(free.gpus, kNode.gpus);
  EXPECT_EQ(take(kNode, free, {3, 0})->cpus, (std::vector<int>{0, 1, 3}));
}

TEST(Packing, AnElementWaitsForGpusThatOthersHaveAndNeverForThoseThatAreNotThere) {
  Slots free = kNode;
  const auto both = take(kNode, free, {1, 2});
  EXPECT_FALSE(take(kNode, free, {1, 1}));
  EXPECT_EQ(why_impossible(kNode, {1, 2}), "");
  EXPECT_NE(why_impossible(kNode, {1, 3}).find("needs 3 GPUs, and this node has 2"), std::string::npos);
}

TEST(Packing, ListsAreWrittenAsTasksetAndCudaReadThem) {
  EXPECT_EQ(cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(cpu_list({}), "");
  EXPECT_EQ(gpu_list({"2", "GPU-ab"}), "2,GPU-ab");
  EXPECT_EQ(gpu_list({}), "");
}

TEST(Packing, ThreadsAreTheShareOfARankAndAtLeastOne) {
  EXPECT_EQ(threads_per_rank({{0, 1, 2, 3, 4}, {}}, 2), 2);
  EXPECT_EQ(threads_per_rank({{0}, {}}, 3), 1);
}

TEST(Packing, TheNodeHasTheCpusThatThisProcessMayUse) {
  EXPECT_FALSE(node_slots().cpus.empty());
}

}  // namespace
}  // namespace tercet::job
