#include "tercet/train/gradient_buckets.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/mpi_main.hpp"
#include "tercet/train/loss.hpp"
#include "train/tiny_model.hpp"

namespace tercet {
namespace {

constexpr std::int64_t kLength = 12;

void backward(Student& student, std::uint64_t sequence) {
  const at::Tensor ids = test::counting_batch(sequence, 1, kLength);
  distillation_loss(student.decoder().forward(ids), {}, ids, 0, 1).loss.backward();
}

// The sum over the sequences [0, count), one after the other on this rank alone.
std::vector<at::Tensor> serial_gradients(int count) {
  Student student = test::plain_student();
  for (int i = 0; i < count; ++i) backward(student, static_cast<std::uint64_t>(i));
  std::vector<at::Tensor> gradients;
  for (const TrainedParameter& parameter : student.parameters()) gradients.push_back(parameter.seen.grad());
  return gradients;
}

void expect_gradients(const Student& student, const std::vector<at::Tensor>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::allclose(student.parameters()[i].seen.grad(), expected[i], 1e-4, 1e-5))
        << student.parameters()[i].name;
  }
}

TEST(GradientBuckets, HoldTheSumOverAllRanksAndStartDuringTheBackwardPass) {
  Communicator& comm = test::world();
  Student student = test::plain_student();
  GradientBuckets buckets(comm, student.parameters(), 8 << 10);
  EXPECT_GT(buckets.bucket_count(), 3u);
  const auto expected = serial_gradients(2 * comm.size());
  for (int step = 0; step < 2; ++step) {  // the second step must not see the first
    buckets.zero();
    const auto first = static_cast<std::uint64_t>(2 * comm.rank());
    backward(student, first);
    EXPECT_EQ(buckets.started_during_backward(), 0u) << "gradients accumulate first";
    buckets.arm();
    backward(student, first + 1);
    EXPECT_EQ(buckets.started_during_backward(), buckets.bucket_count());
    buckets.finish();
    expect_gradients(student, expected);
  }
}

TEST(GradientBuckets, AreReducedOnARankWithoutAMicroBatchToo) {
  Communicator& comm = test::world();
  Student student = test::plain_student();
  GradientBuckets buckets(comm, student.parameters(), 8 << 10);
  const bool idle = comm.size() > 1 && comm.rank() == comm.size() - 1;
  buckets.zero();
  if (!idle) {
    buckets.arm();
    backward(student, static_cast<std::uint64_t>(comm.rank()));
  }
  buckets.finish();
  if (idle) {
    EXPECT_EQ(buckets.started_during_backward(), 0u);
  }
  expect_gradients(student, serial_gradients(std::max(1, comm.size() - 1)));
}

TEST(GradientBuckets, GiveAGradientLargerThanABucketItsOwn) {
  Student student = test::plain_student();
  GradientBuckets buckets(test::world(), student.parameters(), 1);
  EXPECT_EQ(buckets.bucket_count(), student.parameters().size());
  GradientBuckets one(test::world(), student.parameters(), 1 << 30);
  EXPECT_EQ(one.bucket_count(), 1u);
}

}  // namespace
}  // namespace tercet
