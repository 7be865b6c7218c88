#include "tercet/store/checkpoint.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

#include "store/manifest.hpp"
#include "store/state_file.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using test::message_of;

const nlohmann::json kMetadata = {{"fingerprint", "abc"}, {"loss", {3.5, 2.25}}};

at::Tensor ramp(std::int64_t count, double first) {
  return at::arange(count, at::TensorOptions(at::kFloat)).add_(first);
}

StateTensors sample_state(double first) {
  return {{"model.layers.0.weight", ramp(35, first).reshape({5, 7})},
          {"optimizer/momentum 100%", at::full({3}, first, at::TensorOptions(at::kDouble))},
          {"steps", at::full({}, 400, at::TensorOptions(at::kLong))},
          {"empty", at::zeros({0, 4}, at::TensorOptions(at::kFloat))},
          {".", ramp(1, first)}};
}

void expect_same(const StateTensors& read, const StateTensors& saved) {
  ASSERT_EQ(read.size(), saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    EXPECT_EQ(read[i].first, saved[i].first);
    EXPECT_EQ(read[i].second.sizes(), saved[i].second.sizes()) << saved[i].first;
    ASSERT_EQ(read[i].second.scalar_type(), saved[i].second.scalar_type()) << saved[i].first;
    EXPECT_TRUE(at::equal(read[i].second, saved[i].second)) << saved[i].first;
  }
}

class Checkpoints : public testing::Test {
 protected:
  void save(std::int64_t step, double first, int keep = 9) {
    save_checkpoint(*comm_, {folder(), keep}, step, sample_state(first), kMetadata);
  }
  std::optional<Checkpoint> load(const std::string& fingerprint = "abc") {
    return load_newest_checkpoint(*comm_, folder(), fingerprint);
  }
  // The newest of two checkpoints was damaged: the older one is taken, the newer one is kept under another name.
  void expect_falls_back() {
    const auto checkpoint = load();
    ASSERT_TRUE(checkpoint.has_value());
    EXPECT_EQ(checkpoint->step, 100);
    expect_same(checkpoint->tensors, sample_state(1.0));
    EXPECT_TRUE(fs::exists(folder() / "bad-step-00000200"));
    EXPECT_FALSE(fs::exists(folder() / "step-00000200"));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder())) found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  fs::path folder() const { return scratch_.path() / "checkpoints"; }
  fs::path newest() const { return folder() / "step-00000200"; }
  Communicator& comm() { return *comm_; }

 private:
  test::ScratchFolder scratch_;
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
};

TEST_F(Checkpoints, GiveBackTensorsAndMetadata) {
  save(400, 0.1);
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->step, 400);
  EXPECT_EQ(checkpoint->metadata, kMetadata);
  expect_same(checkpoint->tensors, sample_state(0.1));
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000400"});
}

TEST_F(Checkpoints, AreNoneWhereNoneWereSaved) {
  EXPECT_FALSE(load().has_value());
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(Checkpoints, TakeTheNewest) {
  save(100, 1.0);
  save(1000, 3.0);
  save(200, 2.0);
  EXPECT_EQ(load()->step, 1000);
}

TEST_F(Checkpoints, OfAnotherConfigurationArePassedOverAndKept) {
  save(100, 1.0);
  save_checkpoint(comm(), {folder(), 9}, 200, sample_state(2.0), {{"fingerprint", "other"}});
  EXPECT_EQ(load()->step, 100);
  EXPECT_EQ(load("other")->step, 200);
  EXPECT_FALSE(load("third").has_value());
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000100", "step-00000200"}));
}

TEST_F(Checkpoints, BeyondTheNumberToKeepAreRemovedOldestFirst) {
  for (int step = 100; step <= 500; step += 100) save(step, step, 2);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000400", "step-00000500"}));
}

TEST_F(Checkpoints, SavedTwiceAtOneStepHoldTheSecond) {
  save(100, 1.0);
  save(100, 2.0);
  expect_same(load()->tensors, sample_state(2.0));
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000100"});
}

TEST_F(Checkpoints, LeaveNothingOfAnAttemptThatWasKilledWhileSaving) {
  fs::create_directories(folder() / ".tmp-step-00000100.77");
  test::write_text_file(folder() / ".tmp-step-00000100.77" / "state.h5", "half");
  EXPECT_FALSE(load().has_value());
  save(200, 2.0);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000200"});
}

TEST_F(Checkpoints, WithATruncatedStateFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::resize_file(newest() / "state.h5", fs::file_size(newest() / "state.h5") - 1);
  expect_falls_back();
}

// HDF5 reads a flipped bit in a contiguous dataset without a word; only the hash knows.
TEST_F(Checkpoints, WithAFlippedBitInATensorFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  const std::string bytes = read_file(newest() / "state.h5");
  const float wanted = 2.0f + 17.0f;
  const std::string pattern(reinterpret_cast<const char*>(&wanted), sizeof wanted);
  const std::size_t place = bytes.find(pattern);
  ASSERT_NE(place, std::string::npos);
  test::flip_bit(newest() / "state.h5", place);
  expect_falls_back();
}

TEST_F(Checkpoints, WithADamagedHdf5HeaderFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  test::flip_bit(newest() / "state.h5", 0);
  expect_falls_back();
}

TEST_F(Checkpoints, WithoutStateFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::remove(newest() / "state.h5");
  expect_falls_back();
}

TEST_F(Checkpoints, WithoutManifestFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::remove(newest() / "manifest.json");
  expect_falls_back();
}

TEST_F(Checkpoints, WithAChangedManifestFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  std::string text = read_file(newest() / "manifest.json");
  const std::size_t place = text.find("2.25");  // in the metadata: no tensor would show it
  ASSERT_NE(place, std::string::npos);
  text.replace(place, 4, "2.26");
  test::write_text_file(newest() / "manifest.json", text);
  expect_falls_back();
}

TEST_F(Checkpoints, WithAManifestCutInHalfFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::resize_file(newest() / "manifest.json", fs::file_size(newest() / "manifest.json") / 2);
  expect_falls_back();
}

TEST_F(Checkpoints, WithTheManifestOfAnotherStepFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::copy_file(folder() / "step-00000100" / "manifest.json", newest() / "manifest.json",
                fs::copy_options::overwrite_existing);
  expect_falls_back();
}

TEST_F(Checkpoints, WithTheStateOfAnotherStepFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  fs::copy_file(folder() / "step-00000100" / "state.h5", newest() / "state.h5", fs::copy_options::overwrite_existing);
  expect_falls_back();
}

TEST_F(Checkpoints, ThatAreAllBadLeaveNothingToLoadAndNothingLost) {
  save(100, 1.0), save(200, 2.0);
  for (const char* step : {"step-00000100", "step-00000200"}) fs::remove(folder() / step / "manifest.json");
  EXPECT_FALSE(load().has_value());
  EXPECT_EQ(names(), (std::vector<std::string>{"bad-step-00000100", "bad-step-00000200"}));
}

TEST_F(Checkpoints, GoneBadTwiceAtOneStepAreBothKept) {
  for (int i = 0; i < 2; ++i) {
    save(200, 2.0);
    fs::remove(newest() / "manifest.json");
    EXPECT_FALSE(load().has_value());
  }
  EXPECT_EQ(names(), (std::vector<std::string>{"bad-step-00000200", "bad-step-00000200-2"}));
}

TEST_F(Checkpoints, CannotBeSavedWhereNoFolderCanBe) {
  test::write_text_file(folder(), "a file");
  const std::string text = message_of<StoreError>([&] { save(100, 1.0); });
  EXPECT_NE(text.find(folder().string()), std::string::npos) << text;
}

// A file size limit stands in for a full disk.
TEST_F(Checkpoints, ThatDoNotFitOnTheDiskLeaveThePublishedOnesAlone) {
  save(100, 1.0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tiny{2000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tiny);
  const std::string text = message_of<StoreError>([&] { save(200, 2.0); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_NE(text.find("state.h5"), std::string::npos) << text;
  EXPECT_EQ(names(), std::vector<std::string>{"step-00000100"});
  expect_same(load()->tensors, sample_state(1.0));
  save(200, 2.0);  // and with space again it works
  EXPECT_EQ(load()->step, 200);
}

TEST_F(Checkpoints, RefuseTensorsTheyCannotHoldByName) {
  const auto refused = [&](const StateTensors& tensors) {
    return message_of<StoreError>([&] { save_checkpoint(comm(), {folder(), 2}, 1, tensors, kMetadata); });
  };
  EXPECT_NE(refused({{"half", at::zeros({2}, at::TensorOptions(at::kHalf))}}).find("'half'"), std::string::npos);
  EXPECT_NE(refused({{"strided", ramp(6, 0).reshape({2, 3}).t()}}).find("'strided'"), std::string::npos);
  EXPECT_NE(refused({{"twice", ramp(1, 0)}, {"twice", ramp(1, 0)}}).find("'twice'"), std::string::npos);
  EXPECT_NE(refused({{"undefined", at::Tensor()}}).find("'undefined'"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(Checkpoints, AreWrittenTheSameInSmallSlabs) {
  const StateTensors state = sample_state(5.0);
  fs::create_directories(folder());
  const auto whole = [&](std::int64_t slab) {
    const fs::path file = folder() / ("state-" + std::to_string(slab) + ".h5");
    store::create_state_file(file, state);
    store::write_shares(comm(), file, state, slab);
    return read_file(file);
  };
  EXPECT_EQ(whole(8), whole(store::kSlabBytes));
}

TEST(Shares, CoverEveryElementOnceAndAreEven) {
  for (const std::int64_t count : {0, 1, 3, 7, 64, 1000003}) {
    for (const int ranks : {1, 2, 3, 4, 7}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const store::Slice share = store::share_of(count, rank, ranks);
        EXPECT_EQ(share.offset, next);
        EXPECT_LE(share.count, count / ranks + 1);
        EXPECT_GE(share.count, count / ranks);
        next += share.count;
      }
      EXPECT_EQ(next, count);
    }
  }
}

store::Manifest small_manifest() {
  store::Manifest manifest;
  manifest.tensors = {{"a", {2, 3}, "float32", {{0, 4, "x"}, {4, 2, "y"}}}};
  manifest.metadata = {{"value", 0.1}};
  return manifest;
}

TEST(Manifest, ReadsWhatItWrote) {
  const store::Manifest read = store::parse_manifest(store::to_text(small_manifest()));
  ASSERT_EQ(read.tensors.size(), 1u);
  EXPECT_EQ(read.tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(read.tensors[0].slices.at(1).sha256, "y");
  EXPECT_EQ(read.metadata, small_manifest().metadata);
}

TEST(Manifest, RefusesSlicesWithHolesOverlapsOrAWrongEnd) {
  using Slices = std::vector<store::Slice>;
  for (const Slices& slices : {Slices{{0, 3, "x"}, {4, 2, "y"}}, Slices{{0, 5, "x"}, {4, 2, "y"}}, Slices{{0, 4, "x"}},
                               Slices{{0, 7, "x"}}, Slices{{0, 8, "x"}, {8, -2, "y"}}, Slices{}}) {
    store::Manifest manifest = small_manifest();
    manifest.tensors[0].slices = slices;
    EXPECT_THROW(store::parse_manifest(store::to_text(manifest)), StoreError);
  }
}

TEST(Manifest, RefusesImpossibleShapesAndUnknownDtypes) {
  store::Manifest manifest = small_manifest();
  manifest.tensors[0].shape = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  EXPECT_THROW(store::parse_manifest(store::to_text(manifest)), StoreError);
  manifest = small_manifest();
  manifest.tensors[0].dtype = "float8";
  EXPECT_THROW(store::parse_manifest(store::to_text(manifest)), StoreError);
}

}  // namespace
}  // namespace tercet
