// Checkpoints written while the caller goes on. A test that holds HDF5 keeps the writing thread in flight: it cannot
// make its file.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <optional>

#include "store/hdf5.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::message_of;

const nlohmann::json kWriterMetadata = {{"fingerprint", "abc"}};

class Writer : public testing::Test {
 protected:
  StateTensors state() const { return {{"weight", weight_}, {"bias", weight_.narrow(0, 0, 2)}}; }
  void expect_saved(std::int64_t step, const at::Tensor& weight) {
    const auto loaded = load_newest_checkpoint(*comm_, folder(), "abc");
    ASSERT_TRUE(loaded.has_value());
    EXPECT_EQ(loaded->step, step);
    EXPECT_TRUE(at::equal(loaded->tensors[0].second, weight));
  }
  bool published(std::int64_t step) const {
    return fs::exists(folder() / ("step-0000000" + std::to_string(step)) / "manifest.json");
  }
  fs::path folder() const { return scratch_.path() / "checkpoints"; }

  std::unique_ptr<Communicator> comm_ = make_self_communicator();
  at::Tensor weight_ = at::arange(2500000, at::TensorOptions(at::kFloat));  // three slices

 private:
  test::ScratchFolder scratch_;
};

TEST_F(Writer, SavesTheStateAsItWasWhateverBecomesOfTheTensors) {
  const at::Tensor before = weight_.clone();
  CheckpointWriter writer(*comm_, {folder()});
  {
    const store::Hdf5Session library;
    writer.save(1, state(), kWriterMetadata);
    weight_.zero_();
    EXPECT_FALSE(published(1));
  }
  writer.wait();
  expect_saved(1, before);
}

TEST_F(Writer, SavesAgainIntoTheSameMemory) {
  CheckpointWriter writer(*comm_, {folder(), 9});
  for (const std::int64_t step : {1, 2, 3}) {
    weight_.add_(1);
    writer.save(step, state(), kWriterMetadata);
    weight_.add_(1);
  }
  writer.wait();
  expect_saved(3, weight_.sub(1));
  EXPECT_TRUE(published(1) && published(2));
}

TEST_F(Writer, SavesAStateThatHasChangedItsShape) {
  CheckpointWriter writer(*comm_, {folder()});
  writer.save(1, state(), kWriterMetadata);
  writer.save(2, {{"weight", weight_.narrow(0, 5, 1200000).reshape({2, 600000})}, {"more", weight_}}, kWriterMetadata);
  writer.wait();
  expect_saved(2, weight_.narrow(0, 5, 1200000).reshape({2, 600000}));
}

TEST_F(Writer, HasAtMostOneInFlight) {
  CheckpointWriter writer(*comm_, {folder()});
  writer.save(1, state(), kWriterMetadata);
  writer.save(2, state(), kWriterMetadata);
  EXPECT_TRUE(published(1));
}

TEST_F(Writer, FinishesWhatIsInFlightWhenItGoes) {
  { CheckpointWriter(*comm_, {folder()}).save(1, state(), kWriterMetadata); }
  expect_saved(1, weight_);
}

TEST_F(Writer, WaitsForNothingWhenNothingWasSaved) {
  CheckpointWriter writer(*comm_, {folder()});
  writer.wait();
  EXPECT_TRUE(writer.take_reports().empty());
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(Writer, ReportsWhatEachCheckpointTook) {
  for (const bool asynchronous : {true, false}) {
    CheckpointWriter writer(*comm_, {folder(), 2, asynchronous});
    writer.save(1, state(), kWriterMetadata);
    writer.save(2, state(), kWriterMetadata);
    EXPECT_EQ(writer.take_reports().size(), asynchronous ? 1u : 2u);
    writer.wait();
    const auto reports = writer.take_reports();
    ASSERT_EQ(reports.size(), asynchronous ? 1u : 0u);
    if (!asynchronous) continue;
    EXPECT_EQ(reports[0].step, 2);
    EXPECT_GT(reports[0].stall_s, 0);
    EXPECT_GT(reports[0].write_s, 0);
    EXPECT_EQ(reports[0].bytes, fs::file_size(folder() / "step-00000002" / "state.h5"));
  }
}

TEST_F(Writer, ThrowsWhatWentWrongAtTheNextCallAndGoesOn) {
  test::write_text_file(folder(), "a file where the folder should be");
  CheckpointWriter writer(*comm_, {folder()});
  writer.save(1, state(), kWriterMetadata);
  const std::string text = message_of<StoreError>([&] { writer.save(2, state(), kWriterMetadata); });
  EXPECT_NE(text.find(folder().string()), std::string::npos) << text;
  writer.save(3, state(), kWriterMetadata);
  EXPECT_THROW(writer.wait(), StoreError);
  fs::remove(folder());
  writer.save(4, state(), kWriterMetadata);
  writer.wait();
  expect_saved(4, weight_);
}

// A file size limit stands in for a full disk.
TEST_F(Writer, LeavesThePublishedOnesWhenTheDiskIsFull) {
  CheckpointWriter writer(*comm_, {folder()});
  writer.save(1, state(), kWriterMetadata);
  writer.wait();
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{20000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tiny);
  writer.save(2, state(), kWriterMetadata);
  EXPECT_THROW(writer.wait(), StoreError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), fs::directory_iterator()), 1);
  expect_saved(1, weight_);
}

TEST_F(Writer, GoesWithoutAWordToTheCallerWhenItsLastCheckpointFailed) {
  test::write_text_file(folder(), "a file");
  EXPECT_NO_THROW(CheckpointWriter(*comm_, {folder()}).save(1, state(), kWriterMetadata));
}

TEST_F(Writer, RefusesTensorsThatCannotBeSavedAtOnce) {
  CheckpointWriter writer(*comm_, {folder()});
  EXPECT_THROW(writer.save(1, {{"strided", weight_.reshape({2, -1}).t()}}, kWriterMetadata), StoreError);
  writer.wait();
  EXPECT_FALSE(fs::exists(folder()));
}

}  // namespace
}  // namespace tercet
