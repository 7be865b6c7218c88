#include "comm/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "comm/launch.hpp"
#include "support/errors.hpp"
#include "tercet/base/error.hpp"

namespace tercet::comm {
namespace {

Seat seat(int rank, const std::string& host, int local_rank, int local_size, int gpus) {
  Seat result;
  result.rank = rank;
  result.host = host;
  result.local_rank = local_rank;
  result.local_size = local_size;
  result.visible_gpus = gpus;
  return result;
}

Seat holding(Seat seat, int device, const std::string& gpu) {
  seat.device_index = device;
  seat.gpu_id = gpu;
  return seat;
}

std::string error_of(const std::function<void()>& action) {
  return test::message_of<ConfigError>(action);
}

TEST(Seats, TravelAsText) {
  Seat one = holding(seat(3, "node-7", 1, 2, 4), 1, "0000:17:00.0");
  one.cores = "0-3,8";
  one.core_count = 5;
  one.gpu_name = "NVIDIA H100 80GB HBM3";
  one.threads = 4;
  const Seat other = decode_seat(encode(one));
  EXPECT_EQ(encode(other), encode(one));
  EXPECT_EQ(other.gpu_name, one.gpu_name);
  EXPECT_EQ(other.cores, one.cores);
  EXPECT_EQ(other.device(), "cuda:1");
}

TEST(Devices, AutoTakesGpusOnlyWhenEveryRankSeesOne) {
  EXPECT_FALSE(use_gpus({seat(0, "a", 0, 1, 0), seat(1, "b", 0, 1, 0)}, "auto"));
  EXPECT_TRUE(use_gpus({seat(0, "a", 0, 1, 1), seat(1, "b", 0, 1, 2)}, "auto"));
  EXPECT_FALSE(use_gpus({seat(0, "a", 0, 1, 1)}, "cpu"));
  const std::string mixed = error_of([] { use_gpus({seat(0, "a", 0, 1, 1), seat(1, "b", 0, 1, 0)}, "auto"); });
  EXPECT_MENTIONS(mixed, "rank 1 on host b sees no usable GPU (other ranks see one)");
}

TEST(Devices, AskingForCudaWithoutAGpuIsAnError) {
  EXPECT_MENTIONS(error_of([] { use_gpus({seat(0, "a", 0, 1, 0)}, "cuda"); }), "sees no usable GPU");
  EXPECT_MENTIONS(error_of([] { use_gpus({seat(0, "a", 0, 1, 0)}, "gpu"); }), "choose auto, cpu or cuda");
}

TEST(Devices, EachRankTakesTheGpuOfItsLocalRank) {
  EXPECT_EQ(choose_gpu(seat(5, "a", 2, 4, 4), false), 2);
  EXPECT_EQ(choose_gpu(seat(5, "a", 3, 4, 1), false), 0);  // bound by the scheduler: its own GPU is number 0
  EXPECT_EQ(choose_gpu(seat(5, "a", 5, 8, 4), true), 1);
  const std::string text = error_of([] { choose_gpu(seat(5, "a", 2, 3, 2), false); });
  EXPECT_MENTIONS(text, "rank 5 on host a has no GPU of its own (3 ranks share 2 GPUs there)");
}

TEST(Devices, TwoRanksOnOneGpuAreRefusedInASentence) {
  const std::string gpu = "0000:17:00.0";
  const auto first = holding(seat(0, "a", 0, 2, 1), 0, gpu);
  refuse_shared_gpus({first, holding(seat(1, "a", 1, 2, 1), 0, "0000:65:00.0")});
  refuse_shared_gpus({first, holding(seat(1, "b", 0, 1, 1), 0, gpu)});  // the same slot of another machine
  const std::string text = error_of([&] { refuse_shared_gpus({first, holding(seat(1, "a", 1, 2, 1), 0, gpu)}); });
  EXPECT_MENTIONS(text, "ranks 0 and 1 on host a were given the same GPU 0000:17:00.0");
  EXPECT_MENTIONS(text, "allow_shared_gpu");
}

TEST(Threads, AreTheOptionElseTheEnvironmentElseAnEvenShare) {
  Seat first = seat(0, "a", 0, 2, 0);
  first.cores = "0-7";
  first.core_count = 8;
  Seat second = first;
  second.rank = 1;
  Seat bound = first;
  bound.rank = 2;
  bound.cores = "8-9";
  bound.core_count = 2;
  const std::vector<Seat> seats = {first, second, bound};
  EXPECT_EQ(threads_for(first, seats, 3, "5"), 3);
  EXPECT_EQ(threads_for(first, seats, 0, "5"), 5);
  EXPECT_EQ(threads_for(first, seats, 0, nullptr), 4);  // eight cores for two ranks
  EXPECT_EQ(threads_for(bound, seats, 0, "not a number"), 2);
  EXPECT_EQ(threads_for(first, std::vector<Seat>(20, first), 0, nullptr), 1);
}

TEST(Backend, FollowsRanksAndDevices) {
  EXPECT_EQ(choose_backend("auto", 1, true, true), "self");
  EXPECT_EQ(choose_backend("auto", 4, false, true), "mpi");
  EXPECT_EQ(choose_backend("auto", 4, true, true), "nccl");
  EXPECT_EQ(choose_backend("mpi", 1, false, false), "self");
  EXPECT_MENTIONS(error_of([] { choose_backend("self", 2, false, true); }), "cannot join 2 ranks");
  EXPECT_MENTIONS(error_of([] { choose_backend("mpi", 2, true, true); }), "never given device memory");
  EXPECT_MENTIONS(error_of([] { choose_backend("nccl", 2, false, true); }), "needs a GPU");
  EXPECT_MENTIONS(error_of([] { choose_backend("gloo", 2, false, true); }), "choose auto, self, mpi or nccl");
}

TEST(Table, HasARowForEachRankOrForEachHostOfMany) {
  std::vector<Seat> seats;
  for (int rank = 0; rank < 128; ++rank) {
    seats.push_back(seat(rank, "node" + std::to_string(rank / 8), rank % 8, 8, 0));
  }
  const std::string hosts = table_of(seats);
  EXPECT_EQ(std::count(hosts.begin(), hosts.end(), '\n'), 2 + 16) << hosts;
  EXPECT_MENTIONS(hosts, "node15");
  seats.resize(12);
  const std::string ranks = table_of(seats);
  EXPECT_EQ(std::count(ranks.begin(), ranks.end(), '\n'), 2 + 12) << ranks;
}

TEST(Affinity, CountsTheCoresItNames) {
  int cores = 0;
  const std::string text = affinity_text(cores);
  EXPECT_GE(cores, 1);
  EXPECT_NE(text, "?");
}

bool launched_with(const std::map<std::string, std::string>& variables) {
  return launched_by_mpi([&](const char* name) {
    const auto at = variables.find(name);
    return at == variables.end() ? nullptr : at->second.c_str();
  });
}

TEST(Launch, MpiIsStartedOnlyForRanksOfAnMpiJob) {
  EXPECT_FALSE(launched_with({}));
  EXPECT_TRUE(launched_with({{"OMPI_COMM_WORLD_SIZE", "1"}}));
  EXPECT_TRUE(launched_with({{"PMIX_RANK", "0"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}}));
}

TEST(Launch, AShellOfABatchScriptIsNoRank) {
  EXPECT_FALSE(launched_with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}));
  EXPECT_FALSE(launched_with({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}));
}

TEST(Launch, SrunWithoutPmixIsRefusedBecauseEachTaskWouldRunTheWholeJob) {
  const std::string text = error_of([] { launched_with({{"SLURM_PROCID", "2"}, {"SLURM_STEP_NUM_TASKS", "4"}}); });
  EXPECT_MENTIONS(text, "srun started 4 tasks");
  EXPECT_MENTIONS(text, "--mpi=pmix");
}

}  // namespace
}  // namespace tercet::comm
