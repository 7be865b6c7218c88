#include "tercet/comm/communicator.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/mpi_communicator.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/random.hpp"
#include "tercet/comm/mpi_handle.hpp"

namespace tercet {
namespace {

constexpr std::size_t kSizes[] = {0, 1, 7, 64, 1023, 4096, 100003};

// The same communicator over MPI at any number of ranks, one with the usual chunk and one that cuts every 13 elements.
class MpiOperations : public ::testing::TestWithParam<std::size_t> {
 protected:
  static void SetUpTestSuite() {
    const bool under_mpi = test::runtime().control().backend() == "mpi";
    if (!under_mpi) return;
    for (const std::size_t chunk : {comm::kDefaultChunk, std::size_t{13}}) {
      comms()[chunk] = std::make_unique<comm::MpiCommunicator>(MPI_COMM_WORLD, comm::MpiSettings{chunk, false});
    }
  }
  static void TearDownTestSuite() { comms().clear(); }
  void SetUp() override {
    if (comms().empty()) GTEST_SKIP() << "not started by mpirun";
  }
  Communicator& comm() { return *comms().at(GetParam()); }
  int ranks() { return comm().size(); }

  using Comms = std::map<std::size_t, std::unique_ptr<comm::MpiCommunicator>>;
  static Comms& comms() {
    static Comms all;
    return all;
  }
};

INSTANTIATE_TEST_SUITE_P(Chunks, MpiOperations, ::testing::Values(comm::kDefaultChunk, std::size_t{13}),
                         [](const auto& chunk) { return "of" + std::to_string(chunk.param); });

// What rank `rank` contributes at index i; every rank can compute every other's.
double contribution(int rank, std::size_t i) {
  return random_uniform(7, static_cast<std::uint64_t>(rank), i) - 0.5;
}

template <typename Value, typename Combine>
Value serial(int ranks, std::size_t i, Value scale, Combine combine) {
  Value result = static_cast<Value>(contribution(0, i) * static_cast<double>(scale));
  for (int r = 1; r < ranks; ++r) {
    result = combine(result, static_cast<Value>(contribution(r, i) * static_cast<double>(scale)));
  }
  return result;
}

template <typename Value>
std::vector<Value> mine(int rank, std::size_t size, Value scale) {
  std::vector<Value> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = static_cast<Value>(contribution(rank, i) * double(scale));
  return values;
}

TEST_P(MpiOperations, SumsOfIntegersAreExact) {
  for (const std::size_t size : kSizes) {
    auto values = mine<std::int64_t>(comm().rank(), size, std::int64_t{1} << 60);
    comm().all_reduce(std::span(values), Reduce::kSum);
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_EQ(values[i], serial<std::int64_t>(ranks(), i, std::int64_t{1} << 60, std::plus<>())) << size << " " << i;
    }
  }
}

TEST_P(MpiOperations, SumsOfDoublesAreRightToTheLastDigits) {
  for (const std::size_t size : kSizes) {
    auto values = mine<double>(comm().rank(), size, 1.0);
    comm().all_reduce(std::span(values), Reduce::kSum);
    for (std::size_t i = 0; i < size; ++i) {
      // At most ranks - 1 roundings of sums below ranks / 2, in whatever order.
      ASSERT_NEAR(values[i], serial<double>(ranks(), i, 1.0, std::plus<>()), 4 * 4 * 1.2e-16);
    }
  }
}

TEST_P(MpiOperations, MaximumAndMinimumAreExact) {
  for (const std::size_t size : kSizes) {
    auto high = mine<double>(comm().rank(), size, 1.0);
    auto low = high;
    comm().all_reduce(std::span(high), Reduce::kMax);
    comm().all_reduce(std::span(low), Reduce::kMin);
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_EQ(high[i], serial<double>(ranks(), i, 1.0, [](double a, double b) { return std::max(a, b); }));
      ASSERT_EQ(low[i], serial<double>(ranks(), i, 1.0, [](double a, double b) { return std::min(a, b); }));
    }
  }
}

TEST_P(MpiOperations, BroadcastGivesTheBytesOfAnyRoot) {
  for (int root = 0; root < ranks(); ++root) {
    for (const std::size_t size : kSizes) {
      auto values = mine<double>(comm().rank(), size, 1.0);
      comm().broadcast(std::as_writable_bytes(std::span(values)), root);
      ASSERT_EQ(values, mine<double>(root, size, 1.0));
    }
  }
}

TEST_P(MpiOperations, AllGatherKeepsEveryLengthAlsoNone) {
  const auto text_of = [](int rank) {
    return std::string(static_cast<std::size_t>(rank % 2 * (rank + 40)), char('a' + rank));
  };
  const auto all = comm().all_gather(text_of(comm().rank()));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks()));
  for (int r = 0; r < ranks(); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], text_of(r));
  for (const std::string& nothing : comm().all_gather("")) EXPECT_EQ(nothing, "");
}

TEST_P(MpiOperations, TensorsOfEachTypeAreReducedInPlace) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
    at::Tensor tensor = at::full({5, 7}, comm().rank() + 1, at::TensorOptions().dtype(type));
    comm().all_reduce(tensor, Reduce::kSum);
    EXPECT_TRUE(at::equal(tensor, at::full({5, 7}, ranks() * (ranks() + 1) / 2, tensor.options())));
  }
}

TEST_P(MpiOperations, ATensorOfAnyTypeCanBeBroadcast) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kByte, at::kLong}) {
    at::Tensor tensor = at::full({33}, comm().rank() + 1, at::TensorOptions().dtype(type));
    comm().broadcast(tensor, ranks() - 1);
    EXPECT_TRUE(at::equal(tensor, at::full({33}, ranks(), tensor.options())));
  }
}

// Gradients: float32 sums depend on their order, and that order must not depend on the rank or on who came late.
TEST_P(MpiOperations, Float32SumsHaveTheSameBitsOnAllRanksWhoeverComesLate) {
  const std::size_t size = 20011;
  std::string first;
  for (int repeat = 0; repeat < 4; ++repeat) {
    at::Tensor tensor = at::empty({static_cast<std::int64_t>(size)}, at::kFloat);
    for (std::size_t i = 0; i < size; ++i) tensor.mutable_data_ptr<float>()[i] = float(contribution(comm().rank(), i));
    if (repeat % ranks() == comm().rank()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    comm().start_all_reduce(tensor, Reduce::kSum)->wait();
    const std::string bits(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
    if (repeat == 0) first = bits;
    EXPECT_EQ(bits, first) << "repeat " << repeat;
  }
  for (const std::string& other : comm().all_gather(first)) EXPECT_EQ(other, first);
}

TEST_P(MpiOperations, ReductionsInFlightKeepTheirOrderAndTheirData) {
  std::vector<at::Tensor> tensors;
  std::vector<std::unique_ptr<Work>> works;
  for (int bucket = 0; bucket < 12; ++bucket) {
    tensors.push_back(at::full({50 + bucket}, double(bucket) * (comm().rank() + 1), at::kDouble));
    works.push_back(comm().start_all_reduce(tensors.back(), Reduce::kSum));
  }
  std::int64_t flag = comm().rank();  // the caller's own calls go on meanwhile
  comm().all_reduce(std::span(&flag, 1), Reduce::kMax);
  EXPECT_EQ(flag, ranks() - 1);
  for (int bucket = 11; bucket >= 0; --bucket) {
    works[static_cast<std::size_t>(bucket)]->wait();
    const at::Tensor& tensor = tensors[static_cast<std::size_t>(bucket)];
    EXPECT_TRUE(at::equal(tensor, at::full_like(tensor, bucket * ranks() * (ranks() + 1) / 2.0))) << bucket;
  }
}

// Rank 0 begins only after all others have come back from starting: a start that waited for it would never end.
TEST_P(MpiOperations, StartReturnsWhileAnotherRankHasNotEvenBegun) {
  at::Tensor tensor = at::full({1000}, 1.0, at::kFloat);
  std::unique_ptr<Work> work;
  if (comm().rank() != 0) work = comm().start_all_reduce(tensor, Reduce::kSum);
  test::world().barrier();
  if (comm().rank() == 0) work = comm().start_all_reduce(tensor, Reduce::kSum);
  work->wait();
  EXPECT_TRUE(at::equal(tensor, at::full({1000}, ranks(), at::kFloat)));
}

TEST_P(MpiOperations, AnUnwantedWorkMayBeDropped) {
  at::Tensor tensor = at::full({100}, 1.0, at::kFloat);
  comm().start_all_reduce(tensor, Reduce::kSum);
  comm().start_all_reduce(at::full({3}, 1.0, at::kFloat), Reduce::kSum)->wait();  // calls complete in order
  EXPECT_TRUE(at::equal(tensor, at::full({100}, ranks(), at::kFloat)));
}

TEST_P(MpiOperations, SixteenBitSumsOnTheHostAreRefusedInASentence) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor tensor = at::zeros({2, 3}, at::TensorOptions().dtype(type));
    const std::string text = test::message_of<CommError>([&] { comm().all_reduce(tensor, Reduce::kSum); });
    EXPECT_MENTIONS(text, "all_reduce on rank " + std::to_string(comm().rank()));
    EXPECT_MENTIONS(text, "shape [2, 3]");
    EXPECT_MENTIONS(text, "convert to float32");
  }
}

TEST_P(MpiOperations, ATensorWithHolesAndARootOutsideAreRefused) {
  const at::Tensor transposed = at::zeros({4, 5}, at::kFloat).t();
  EXPECT_THROW(comm().all_reduce(transposed, Reduce::kSum), CommError);
  EXPECT_THROW(comm().start_all_reduce(at::Tensor(), Reduce::kSum), CommError);
  at::Tensor tensor = at::zeros({4}, at::kFloat);
  EXPECT_THROW(comm().broadcast(tensor, ranks()), CommError);
  EXPECT_THROW(comm().broadcast(tensor, -1), CommError);
}

TEST_P(MpiOperations, AnIdleBarrierHoldsEveryRankBack) {
  const auto before = std::chrono::steady_clock::now();
  if (comm().rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(150));
  const std::clock_t cpu_before = std::clock();
  comm().idle_barrier();
  const double cpu = double(std::clock() - cpu_before) / CLOCKS_PER_SEC;
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(ranks() > 1 ? 140 : 0));
  EXPECT_LT(cpu, 0.1);  // asleep, not spinning
}

TEST_P(MpiOperations, TheHandleBelowServesOtherLibraries) {
  int size = 0;
  MPI_Comm_size(mpi_handle(comm()), &size);
  EXPECT_EQ(size, ranks());
  EXPECT_EQ(mpi_handle(*make_self_communicator()), MPI_COMM_NULL);
}

TEST(World, KnowsItsPlaceAndItsTable) {
  Communicator& world = test::world();
  EXPECT_LT(world.rank(), world.size());
  EXPECT_EQ(world.backend(), world.size() > 1 ? "mpi" : "self");
  EXPECT_EQ(test::runtime().device(), "cpu");
  const std::string table = test::runtime().placement_table();
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), world.size() + 2);
  for (const std::string& other : world.all_gather(table)) EXPECT_EQ(other, table);
}

}  // namespace
}  // namespace tercet
