#include "tercet/comm/reproducible_sum.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/mpi_main.hpp"
#include "tercet/base/random.hpp"

namespace tercet {
namespace {

constexpr int kShards = 37;
constexpr std::int64_t kRows = 13;
constexpr std::int64_t kColumns = 11;

// Partial sums over ten orders of magnitude and both signs, where float64 sums do depend on the order.
at::Tensor partial_of(int shard) {
  at::Tensor partial = at::empty({kRows, kColumns}, at::kDouble);
  for (std::int64_t i = 0; i < partial.numel(); ++i) {
    const auto index = static_cast<std::uint64_t>(shard * 1000 + i);
    const double sign = random_uniform(1, 2, index) < 0.5 ? -1.0 : 1.0;
    partial.mutable_data_ptr<double>()[i] = sign * std::exp(23.0 * (random_uniform(3, 4, index) - 1.0));
  }
  return partial;
}

constexpr double kBound = kShards * 1.0;  // every partial is below 1

at::Tensor sum_over(Communicator& comm, bool backwards) {
  ReproducibleSum sum({kRows, kColumns}, kBound);
  for (int i = 0; i < kShards; ++i) {
    const int shard = backwards ? kShards - 1 - i : i;
    if (shard % comm.size() == comm.rank()) sum.add(partial_of(shard));
  }
  sum.all_reduce(comm);
  return sum.values();
}

TEST(ReproducibleSum, HasTheSameBitsForAnyNumberOfRanksAndAnyOrder) {
  const auto self = make_self_communicator();
  const at::Tensor alone = sum_over(*self, false);
  EXPECT_TRUE(at::equal(sum_over(test::world(), false), alone));
  EXPECT_TRUE(at::equal(sum_over(test::world(), true), alone));
}

TEST(ReproducibleSum, IsWithinItsStatedErrorOfTheLongDoubleSum) {
  const at::Tensor sum = sum_over(test::world(), false);
  std::vector<long double> exact(static_cast<std::size_t>(kRows * kColumns), 0.0L);
  bool order_matters = false;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    double up = 0;
    double down = 0;
    for (int shard = 0; shard < kShards; ++shard) {
      exact[i] += partial_of(shard).const_data_ptr<double>()[i];
      up += partial_of(shard).const_data_ptr<double>()[i];
      down += partial_of(kShards - 1 - shard).const_data_ptr<double>()[i];
    }
    order_matters = order_matters || up != down;
    // shards * 2^(k-1), k = 6 - 60 since 32 <= bound < 64, plus the rounding of the result to float64.
    const double error = kShards * std::ldexp(1.0, -55) + std::abs(double(exact[i])) * 0x1p-53;
    EXPECT_NEAR(sum.const_data_ptr<double>()[i], double(exact[i]), error);
  }
  EXPECT_TRUE(order_matters) << "the test data would not show an order that depends on the ranks";
}

}  // namespace
}  // namespace tercet
