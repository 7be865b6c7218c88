#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "store/manifest.hpp"
#include "store/snapshot.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

const nlohmann::json kMetadata = {{"fingerprint", "abc"}};

// Sizes below, at and above the number of ranks, so that some shares are empty.
StateTensors sample_state(double first) {
  const auto ramp = [first](std::int64_t count) {
    return at::arange(count, at::TensorOptions(at::kFloat)).add_(first);
  };
  return {{"matrix", ramp(37 * 11).reshape({37, 11})},
          {"pair", ramp(2)},
          {"scalar", at::full({}, 7, at::TensorOptions(at::kLong))},
          {"none", ramp(0)},
          {"large", ramp(3000001)},  // three slices
          {"double", at::full({5}, first / 3, at::TensorOptions(at::kDouble))}};
}

void expect_same(const StateTensors& read, const StateTensors& saved) {
  ASSERT_EQ(read.size(), saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(read[i].first, saved[i].first);
    EXPECT_EQ(read[i].second.sizes(), saved[i].second.sizes());
    EXPECT_TRUE(at::equal(read[i].second, saved[i].second)) << saved[i].first;
  }
}

class SharedCheckpoints : public testing::Test {
 protected:
  static Communicator& world() { return test::world(); }
  void save(std::int64_t step, double first) {
    save_checkpoint(world(), {folder_, 9}, step, sample_state(first), kMetadata);
  }
  std::optional<Checkpoint> load() { return load_newest_checkpoint(world(), folder_, "abc"); }
  void on_first(const std::function<void()>& action) {
    on_root(world(), [&] {
      action();
      return std::string();
    });
  }
  const test::SharedScratchFolder scratch_;
  const fs::path folder_ = scratch_.path() / "checkpoints";
};

TEST_F(SharedCheckpoints, GiveAllRanksAllTensors) {
  save(100, 1.5);
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->step, 100);
  expect_same(checkpoint->tensors, sample_state(1.5));
}

TEST_F(SharedCheckpoints, RecordTheSameSlicesForAnyNumberOfRanks) {
  save(100, 1.5);
  on_first([&] {
    const auto alone = make_self_communicator();
    save_checkpoint(*alone, {folder_ / "alone", 2}, 100, sample_state(1.5), kMetadata);
    auto together = nlohmann::json::parse(read_file(folder_ / "step-00000100" / "manifest.json"));
    const auto one = nlohmann::json::parse(read_file(folder_ / "alone" / "step-00000100" / "manifest.json"));
    EXPECT_EQ(together.at("world_size"), world().size());
    EXPECT_EQ(together.at("tensors"), one.at("tensors"));
  });
}

TEST_F(SharedCheckpoints, SavedByAllAreLoadedByOneAlone) {
  save(100, 1.5);
  const auto alone = make_self_communicator();
  const auto checkpoint = load_newest_checkpoint(*alone, folder_, "abc");
  ASSERT_TRUE(checkpoint.has_value());
  expect_same(checkpoint->tensors, sample_state(1.5));
}

TEST_F(SharedCheckpoints, SavedByOneAreLoadedByAll) {
  on_first([&] {
    const auto alone = make_self_communicator();
    save_checkpoint(*alone, {folder_, 2}, 100, sample_state(2.5), kMetadata);
  });
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  expect_same(checkpoint->tensors, sample_state(2.5));
}

TEST_F(SharedCheckpoints, HoldTheSameBytesForAnyNumberOfRanks) {
  save(100, 1.5);
  on_first([&] {
    const auto alone = make_self_communicator();
    save_checkpoint(*alone, {folder_ / "alone", 2}, 100, sample_state(1.5), kMetadata);
    EXPECT_EQ(read_file(folder_ / "step-00000100" / "state.h5"),
              read_file(folder_ / "alone" / "step-00000100" / "state.h5"));
  });
}

// Slices of 64 bytes: many for each rank, in writing and in reading.
TEST_F(SharedCheckpoints, InManySmallSlicesAreReadBackByAll) {
  const StateTensors state = {{"pair", sample_state(1.0)[1].second}, {"matrix", sample_state(1.0)[0].second}};
  store::Snapshot snapshot;
  snapshot.take(world(), 100, state, kMetadata, true, 64);
  store::commit(world(), {folder_, 2}, snapshot);
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  expect_same(checkpoint->tensors, state);
}

TEST_F(SharedCheckpoints, WithABadNewestFallBackTogether) {
  save(100, 1.0);
  save(200, 2.0);
  on_first([&] {
    const fs::path file = folder_ / "step-00000200" / "state.h5";
    test::flip_bit(file, fs::file_size(file) - 3);
  });
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->step, 100);
  expect_same(checkpoint->tensors, sample_state(1.0));
  EXPECT_TRUE(fs::exists(folder_ / "bad-step-00000200"));
  world().barrier();
}

TEST_F(SharedCheckpoints, FailOnAllRanksWhenOneHoldsOtherTensors) {
  if (world().size() == 1) GTEST_SKIP() << "one rank cannot differ";
  StateTensors mine = sample_state(1.0);
  if (world().rank() == world().size() - 1) mine.pop_back();
  EXPECT_THROW(save_checkpoint(world(), {folder_, 2}, 100, mine, kMetadata), StoreError);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(SharedCheckpoints, FailOnAllRanksWhenOneHoldsATensorThatCannotBeSaved) {
  StateTensors mine = sample_state(1.0);
  if (world().rank() == world().size() - 1) mine[0].second = mine[0].second.t();
  const std::string text = test::message_of<StoreError>([&] {
    save_checkpoint(world(), {folder_, 2}, 100, mine, kMetadata);
  });
  EXPECT_NE(text.find("'matrix'"), std::string::npos) << text;
}

// A file size limit on rank 0 stands in for a full disk.
TEST_F(SharedCheckpoints, ThatDoNotFitFailOnAllRanksAndLeaveThePublishedOnes) {
  save(100, 1.0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{100000, before.rlim_max};
  if (world().is_root()) ::setrlimit(RLIMIT_FSIZE, &tiny);
  EXPECT_THROW(save(200, 2.0), StoreError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->step, 100);
  on_first([&] { EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1); });
}

// Only the last rank has no room: it alone knows why, and all say so.
TEST_F(SharedCheckpoints, ThatOneRankCannotWriteFailOnAllRanksWithItsReason) {
  if (world().size() == 1) GTEST_SKIP() << "rank 0 fails before it writes";
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{100000, before.rlim_max};
  if (world().rank() == world().size() - 1) ::setrlimit(RLIMIT_FSIZE, &tiny);
  const std::string text = test::message_of<StoreError>([&] { save(100, 1.0); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  const std::string rank = "rank " + std::to_string(world().size() - 1) + ": ";
  EXPECT_NE(text.find(rank), std::string::npos) << text;
  EXPECT_FALSE(load().has_value());
  on_first([&] { EXPECT_TRUE(fs::is_empty(folder_)); });
}

TEST_F(SharedCheckpoints, OfANewerFormatAreRefusedByAll) {
  save(100, 1.0);
  on_first([&] {
    const fs::path file = folder_ / "step-00000100" / "manifest.json";
    auto body = nlohmann::json::parse(read_file(file));
    body.erase("manifest_sha256");
    body["version"] = 7;
    body["manifest_sha256"] = sha256_hex(std::string_view(body.dump()));
    test::write_text_file(file, body.dump());
  });
  EXPECT_THROW(load(), StoreError);
  on_first([&] { EXPECT_TRUE(fs::exists(folder_ / "step-00000100")); });
}

TEST_F(SharedCheckpoints, AreSavedWhileTheRunFileIsOpen) {
  RunFile run(folder_ / "run", world().is_root());
  run.metric({"loss", 1, 2.0, "nats"});
  save(100, 1.0);
  run.metric({"loss", 2, 1.0, "nats"});
  on_first([&] { EXPECT_EQ(read_run_file(folder_ / "run" / "run.h5").metrics.size(), 2u); });
  EXPECT_TRUE(load().has_value());
}

}  // namespace
}  // namespace tercet
