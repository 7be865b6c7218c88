#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>

#include "store/hdf5.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

const nlohmann::json kWriterMetadata = {{"fingerprint", "abc"}};

class SharedWriter : public testing::Test {
 protected:
  SharedWriter() {
    if (world().is_root()) scratch_ = std::make_unique<test::ScratchFolder>();
    folder_ = broadcast_string(world(), scratch_ ? (scratch_->path() / "checkpoints").string() : "");
  }
  ~SharedWriter() override { world().barrier(); }  // nobody reads any more

  static Communicator& world() { return test::world(); }
  StateTensors state() const { return {{"weight", weight_}, {"bias", weight_.narrow(0, 0, 2)}}; }
  void expect_saved(std::int64_t step, const at::Tensor& weight) {
    const auto loaded = load_newest_checkpoint(world(), folder_, "abc");
    ASSERT_TRUE(loaded.has_value());
    EXPECT_EQ(loaded->step, step);
    EXPECT_TRUE(at::equal(loaded->tensors[0].second, weight));
  }

  fs::path folder_;
  at::Tensor weight_ = at::arange(6000000, at::TensorOptions(at::kFloat));  // six slices

 private:
  std::unique_ptr<test::ScratchFolder> scratch_;
};

// The step's own reductions go on while the checkpoint is written: neither takes the other's messages.
TEST_F(SharedWriter, SavesWhileTheRanksCommunicate) {
  CheckpointWriter writer(world(), {folder_});
  for (std::int64_t step = 1; step <= 3; ++step) {
    writer.save(step, state(), kWriterMetadata);
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(all_reduce_value(world(), std::int64_t{i}, Reduce::kSum), i * world().size());
    }
    weight_.add_(1);
  }
  writer.wait();
  expect_saved(3, weight_.sub(1));
}

TEST_F(SharedWriter, SavesTheSameAsWithoutAThread) {
  for (const bool asynchronous : {true, false}) {
    CheckpointWriter writer(world(), {folder_ / std::to_string(asynchronous), 2, asynchronous});
    writer.save(1, state(), kWriterMetadata);
    writer.wait();
  }
  on_root(world(), [&] {
    for (const char* file : {"state.h5", "manifest.json"}) {
      EXPECT_EQ(read_file(folder_ / "1" / "step-00000001" / file), read_file(folder_ / "0" / "step-00000001" / file));
    }
    return std::string();
  });
}

// Rank 0 records while its thread may not have HDF5 ...
TEST_F(SharedWriter, LetsTheRunFileRecordWhileItIsInFlight) {
  RunFile run(folder_ / "run", world().is_root());
  CheckpointWriter writer(world(), {folder_});
  for (std::int64_t step = 1; step <= 4; ++step) {
    writer.save(step, state(), kWriterMetadata);
    for (int i = 0; i < 20; ++i) run.metric({"loss", 20 * step + i, 1.0, "nats"});
    world().barrier();
  }
  writer.wait();
  run.metric({"loss", 1000, 1.0, "nats"});
  on_root(world(), [&] {
    EXPECT_EQ(read_run_file(folder_ / "run" / "run.h5").metrics.size(), 81u);
    return std::string();
  });
}

TEST_F(SharedWriter, GivesAllRanksTheErrorOfOneAtTheNextCall) {
  CheckpointWriter writer(world(), {folder_});
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{100000, before.rlim_max};
  if (world().rank() == world().size() - 1) ::setrlimit(RLIMIT_FSIZE, &tiny);
  writer.save(1, state(), kWriterMetadata);
  const std::string text = test::message_of<StoreError>([&] { writer.save(2, state(), kWriterMetadata); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  for (const std::string& other : world().all_gather(text)) EXPECT_EQ(other, text);
  EXPECT_NE(text.find("state.h5"), std::string::npos) << text;
  writer.save(3, state(), kWriterMetadata);
  writer.wait();
  expect_saved(3, weight_);
}

TEST_F(SharedWriter, RefusesTogetherWhatOneRankCannotSave) {
  CheckpointWriter writer(world(), {folder_});
  StateTensors mine = state();
  if (world().rank() == world().size() - 1) mine[0].second = mine[0].second.reshape({2, -1}).t();
  EXPECT_THROW(writer.save(1, mine, kWriterMetadata), StoreError);
  writer.save(2, state(), kWriterMetadata);
  writer.wait();
  expect_saved(2, weight_);
}

// As when ranks leave by an exception, one earlier than the other, after all have begun to save.
TEST_F(SharedWriter, CanBeLeftByTheRanksAtDifferentTimes) {
  {
    CheckpointWriter writer(world(), {folder_});
    writer.save(1, state(), kWriterMetadata);
    std::this_thread::sleep_for(std::chrono::milliseconds(100 * world().rank()));
  }
  world().barrier();
  expect_saved(1, weight_);
}

// ... and a rank whose thread is held up holds up the checkpoint, not the steps.
TEST_F(SharedWriter, DoesNotHoldUpTheStepsWhenOneRankIsSlowToWrite) {
  CheckpointWriter writer(world(), {folder_});
  {
    std::unique_ptr<store::Hdf5Session> library;
    if (world().is_root()) library = std::make_unique<store::Hdf5Session>();
    writer.save(1, state(), kWriterMetadata);
    for (int i = 0; i < 10; ++i) world().barrier();
    EXPECT_FALSE(fs::exists(folder_ / "step-00000001"));
    world().barrier();
  }
  writer.wait();
  expect_saved(1, weight_);
}

}  // namespace
}  // namespace tercet
