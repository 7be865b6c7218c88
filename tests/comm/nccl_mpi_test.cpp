// NCCL on the GPUs that are here; several ranks share one where there are fewer. Label "gpu" runs it on such a machine,
// elsewhere it is skipped.
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "comm/nccl_communicator.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/comm/mpi_handle.hpp"

namespace tercet {
namespace {

CommOptions on_gpus() {
  CommOptions options;
  options.device = "cuda";
  options.allow_shared_gpu = true;
  options.timeout_s = 60;
  return options;
}

class Nccl : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!comm::kHaveNccl) GTEST_SKIP() << "built without CUDA";
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
    if (test::world().size() < 2) GTEST_SKIP() << "one rank needs no NCCL";
    comm_ = test::runtime().connect(on_gpus());
    device_ = at::Device(test::runtime().device());
  }
  at::TensorOptions options(at::ScalarType type) const { return at::TensorOptions().dtype(type).device(device_); }
  double sum_of_ranks() const { return comm_->size() * (comm_->size() + 1) / 2.0; }

  std::unique_ptr<Communicator> comm_;
  at::Device device_{at::kCPU};
};

TEST_F(Nccl, ReducesDeviceTensorsOfEachType) {
  EXPECT_EQ(comm_->backend(), "nccl");
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong, at::kBFloat16}) {
    const at::Tensor tensor = at::full({5, 7}, comm_->rank() + 1, options(type));
    comm_->all_reduce(tensor, Reduce::kSum);
    EXPECT_TRUE(at::equal(tensor, at::full({5, 7}, sum_of_ranks(), options(type))));
    comm_->all_reduce(at::zeros({0}, options(type)), Reduce::kMax);
  }
}

TEST_F(Nccl, MaximumMinimumAndBroadcast) {
  const auto mine = [&] { return at::full({1001}, comm_->rank() + 1, options(at::kFloat)); };
  const at::Tensor high = mine();
  comm_->all_reduce(high, Reduce::kMax);
  EXPECT_EQ(high[1000].item<float>(), static_cast<float>(comm_->size()));
  const at::Tensor low = mine();
  comm_->all_reduce(low, Reduce::kMin);
  EXPECT_EQ(low[0].item<float>(), 1.0f);
  const at::Tensor root = mine();
  comm_->broadcast(root, comm_->size() - 1);
  EXPECT_TRUE(at::equal(root, high));
}

TEST_F(Nccl, HostTensorsAndHostValuesGoOverMpi) {
  const at::Tensor host = at::full({9}, comm_->rank() + 1, at::kDouble);
  comm_->all_reduce(host, Reduce::kSum);
  EXPECT_EQ(host[8].item<double>(), sum_of_ranks());
  EXPECT_EQ(all_reduce_value(*comm_, std::int64_t{1}, Reduce::kSum), comm_->size());
  EXPECT_THROW(comm_->all_reduce(at::zeros({3}, at::kBFloat16), Reduce::kSum), CommError);
  EXPECT_NE(mpi_handle(*comm_), MPI_COMM_NULL);
}

// The reduction must see what the computing stream was given before it, and the computing stream its result after it.
TEST_F(Nccl, IsOrderedWithTheComputingStreamBothWays) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    at::Tensor a = at::full({1024, 1024}, 1.0 / 1024, options(at::kDouble));
    for (int i = 0; i < 10; ++i) a = a.matmul(at::ones({1024, 1024}, options(at::kDouble))).div_(1024);
    a.mul_(1024.0 * (comm_->rank() + 1));  // exactly rank + 1 everywhere: every step is a power of two
    const auto work = comm_->start_all_reduce(a, Reduce::kSum);
    work->wait();
    const at::Tensor after = a.add(1.0);
    EXPECT_TRUE(at::equal(after, at::full({1024, 1024}, sum_of_ranks() + 1, options(at::kDouble))));
  }
}

TEST_F(Nccl, BucketsInFlightCompleteInTheirOrder) {
  std::vector<at::Tensor> buckets;
  std::vector<std::unique_ptr<Work>> works;
  for (int i = 0; i < 12; ++i) {
    buckets.push_back(at::full({100'000 + i}, double(i) * (comm_->rank() + 1), options(at::kFloat)));
    works.push_back(comm_->start_all_reduce(buckets.back(), Reduce::kSum));
  }
  for (int i = 11; i >= 0; --i) {
    works[static_cast<std::size_t>(i)]->wait();
    const at::Tensor& bucket = buckets[static_cast<std::size_t>(i)];
    EXPECT_TRUE(at::equal(bucket, at::full(bucket.sizes(), i * sum_of_ranks(), bucket.options())));
  }
}

TEST_F(Nccl, ARankThatNeverJoinsIsATimeoutAndNotAHang) {
  CommOptions impatient = on_gpus();
  impatient.timeout_s = 5;  // long enough for NCCL's start
  const auto comm = test::runtime().connect(impatient);
  comm->all_reduce(at::ones({4}, options(at::kFloat)), Reduce::kSum);
  const at::Tensor tensor = at::ones({1 << 20}, options(at::kFloat));
  if (comm->rank() != 0) {
    EXPECT_THROW(comm->all_reduce(tensor, Reduce::kSum), CommError);
    EXPECT_THROW(comm->all_reduce(tensor, Reduce::kSum), CommError);  // of no further use
  }
  test::world().barrier();
}

TEST(SharedGpu, IsRefusedBeforeNcclIsTouched) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  if (test::world().size() <= cuda_device_count()) GTEST_SKIP() << "a GPU for every rank";
  CommOptions options = on_gpus();
  options.allow_shared_gpu = false;
  EXPECT_THROW(test::runtime().connect(options), ConfigError);
}

}  // namespace
}  // namespace tercet
