#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tercet/base/error.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/comm/runtime.hpp"

namespace tercet {
namespace {

TEST(SelfCommunicator, LeavesEverythingAsItIs) {
  const auto comm = make_self_communicator();
  EXPECT_EQ(comm->size(), 1);
  EXPECT_TRUE(comm->is_root());
  double value = 2.5;
  comm->all_reduce(std::span(&value, 1), Reduce::kSum);
  EXPECT_EQ(value, 2.5);
  EXPECT_EQ(comm->all_gather("me"), std::vector<std::string>{"me"});
  EXPECT_EQ(broadcast_string(*comm, "text"), "text");
  const at::Tensor tensor = at::full({3}, 4.0, at::kFloat);
  comm->start_all_reduce(tensor, Reduce::kSum)->wait();
  EXPECT_EQ(tensor[1].item<float>(), 4.0f);
}

TEST(SelfCommunicator, RefusesWhatSeveralRanksWouldRefuse) {
  const auto comm = make_self_communicator();
  EXPECT_THROW(comm->all_reduce(at::zeros({4, 5}, at::kFloat).t(), Reduce::kSum), CommError);
  EXPECT_THROW(comm->broadcast(at::zeros({4}, at::kFloat), 1), CommError);
  EXPECT_THROW(on_every_rank(*comm, [] { throw DataError("bad"); }), DataError);
  EXPECT_THROW(on_root(*comm, []() -> std::string { throw StoreError("bad"); }), StoreError);
}

TEST(Runtime, WithoutMpirunIsASingleRankAndNeedsNoMpi) {
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) GTEST_SKIP() << "this test was started by mpirun";
  Runtime runtime(nullptr, nullptr);
  EXPECT_EQ(runtime.control().backend(), "self");
  CommOptions options;
  options.device = "cpu";
  options.threads_per_rank = 1;
  EXPECT_EQ(runtime.connect(options)->size(), 1);
  EXPECT_EQ(runtime.device(), "cpu");
  EXPECT_NE(runtime.placement_table().find("local rank"), std::string::npos);
  options.device = "tpu";
  EXPECT_THROW(runtime.connect(options), ConfigError);
}

}  // namespace
}  // namespace tercet
