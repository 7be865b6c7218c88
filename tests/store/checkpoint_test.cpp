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
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"

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

// Loading goes by the manifest: what only HDF5 needs may be damaged, as long as the state is not.
TEST_F(Checkpoints, WithADamagedHdf5HeaderAreLoadedAllTheSame) {
  save(100, 1.0), save(200, 2.0);
  test::flip_bit(newest() / "state.h5", 0);
  const auto loaded = load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->step, 200);
  expect_same(loaded->tensors, sample_state(2.0));
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

// A later version keeps the checksum and its rule, so a sound manifest of one can be told from a damaged one.
std::string of_version(const std::string& manifest, int version) {
  auto body = nlohmann::json::parse(manifest);
  body.erase("manifest_sha256");
  body["version"] = version;
  body["manifest_sha256"] = sha256_hex(std::string_view(body.dump()));
  return body.dump(1);
}

TEST_F(Checkpoints, OfANewerFormatAreRefusedAndLeftAlone) {
  save(100, 1.0), save(200, 2.0);
  test::write_text_file(newest() / "manifest.json", of_version(read_file(newest() / "manifest.json"), 9));
  const std::string text = message_of<StoreError>([&] { load(); });
  EXPECT_NE(text.find("step-00000200"), std::string::npos) << text;
  EXPECT_NE(text.find("version 9"), std::string::npos) << text;
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000100", "step-00000200"}));
}

TEST_F(Checkpoints, WithADamagedVersionFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  std::string text = read_file(newest() / "manifest.json");
  const std::size_t place = text.find("\"version\": 2");
  ASSERT_NE(place, std::string::npos);
  text[place + 11] = '9';
  test::write_text_file(newest() / "manifest.json", text);
  expect_falls_back();
}

TEST_F(Checkpoints, WithElementsOutsideTheFileFallBackToTheOlderOne) {
  save(100, 1.0), save(200, 2.0);
  auto body = nlohmann::json::parse(read_file(newest() / "manifest.json"));
  body.erase("manifest_sha256");
  body["state_bytes"] = 1000;
  body["manifest_sha256"] = sha256_hex(std::string_view(body.dump()));
  test::write_text_file(newest() / "manifest.json", body.dump());
  fs::resize_file(newest() / "state.h5", 1000);
  expect_falls_back();
}

// What a kill leaves between the two renames by which a file system without an exchange of names replaces a checkpoint.
TEST_F(Checkpoints, AreFoundUnderTheirFormerNameAfterAKillWhileBeingReplaced) {
  save(100, 1.0), save(200, 2.0);
  fs::rename(newest(), folder() / "former-step-00000200");
  fs::create_directories(folder() / ".tmp-step-00000200.77");
  const auto checkpoint = load();
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->step, 200);
  expect_same(checkpoint->tensors, sample_state(2.0));
}

TEST_F(Checkpoints, SavedAfterAKillWhileOneWasBeingReplacedKeepTheFormerOne) {
  save(100, 1.0), save(200, 2.0);
  fs::rename(newest(), folder() / "former-step-00000200");
  save(300, 3.0);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000100", "step-00000200", "step-00000300"}));
}

// ... and after the second of them.
TEST_F(Checkpoints, ThatWereReplacedWinOverTheirFormerOnes) {
  save(200, 2.0);
  fs::copy(newest(), folder() / "former-step-00000200", fs::copy_options::recursive);
  save_checkpoint(comm(), {folder(), 9}, 201, sample_state(5.0), kMetadata);
  fs::rename(folder() / "step-00000201", folder() / "elsewhere");
  expect_same(load()->tensors, sample_state(2.0));
  save(300, 3.0);
  EXPECT_FALSE(fs::exists(folder() / "former-step-00000200"));
}

TEST_F(Checkpoints, CannotBeReplacedByOneThatFailed) {
  save(100, 1.0);
  const at::Tensor half = at::zeros({2}, at::TensorOptions(at::kHalf));
  EXPECT_THROW(save_checkpoint(comm(), {folder(), 2}, 100, {{"half", half}}, kMetadata), StoreError);
  expect_same(load()->tensors, sample_state(1.0));
}

// A folder may hold later steps of a job with other settings: they must not push out what was just saved.
TEST_F(Checkpoints, OfLaterStepsDoNotCountWhenOldOnesAreRemoved) {
  for (const std::int64_t step : {900, 1000}) {
    save_checkpoint(comm(), {folder(), 2}, step, sample_state(9.0), {{"fingerprint", "other"}});
  }
  for (const std::int64_t step : {100, 200, 300}) save(step, 1.0, 2);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000200", "step-00000300", "step-00000900", "step-00001000"}));
  EXPECT_EQ(load()->step, 300);
}

std::vector<store::TensorEntry> entries_of(const std::vector<std::int64_t>& counts, std::int64_t slice_bytes) {
  StateTensors tensors;
  for (const std::int64_t count : counts) tensors.emplace_back(std::to_string(tensors.size()), ramp(count, 0));
  return store::describe(tensors, slice_bytes);
}

TEST(Slices, CoverEveryElementOnceAndAreNeverLonger) {
  for (const std::int64_t count : {0, 1, 15, 16, 17, 1003}) {
    const auto entries = entries_of({count}, 64);
    std::int64_t next = 0;
    for (const store::Slice& slice : entries[0].slices) {
      EXPECT_EQ(slice.offset, next);
      EXPECT_GE(slice.count, 1);
      EXPECT_LE(slice.count, 16);
      next += slice.count;
    }
    EXPECT_EQ(next, count);
  }
}

TEST(Slices, AreWrittenInOneRunPerRankOfAboutTheSameSize) {
  const auto entries = entries_of({1000, 3, 0, 500, 7, 2000}, 64);
  for (const int ranks : {1, 2, 3, 4, 7}) {
    std::vector<std::int64_t> share(static_cast<std::size_t>(ranks), 0);
    int before = 0;
    for (const store::Assignment& one : store::in_runs(entries, ranks)) {
      EXPECT_GE(one.rank, before);
      before = one.rank;
      share.at(static_cast<std::size_t>(one.rank)) += entries[one.tensor].slices[one.slice].count;
    }
    for (const std::int64_t count : share) EXPECT_NEAR(static_cast<double>(count), 3510.0 / ranks, 16.0) << ranks;
  }
}

store::Manifest small_manifest() {
  store::Manifest manifest;
  manifest.tensors = {{"a", {2, 3}, "float32", {{0, 4, "x"}, {4, 2, "y"}}}};
  manifest.state_bytes = 24;
  manifest.metadata = {{"value", 0.1}};
  return manifest;
}

TEST(Manifest, ReadsWhatItWrote) {
  const store::Manifest read = store::parse_manifest(store::to_text(small_manifest()));
  ASSERT_EQ(read.tensors.size(), 1u);
  EXPECT_EQ(read.tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(read.tensors[0].slices.at(1).xxh3, "y");
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

TEST(Manifest, RefusesTensorsLargerThanTheFileOfTheState) {
  store::Manifest manifest = small_manifest();
  manifest.state_bytes = 23;
  EXPECT_THROW(store::parse_manifest(store::to_text(manifest)), StoreError);
}

TEST(Manifest, RefusesNumbersThatAreNoCounts) {
  for (const char* replaced : {R"("count": 4)", R"("step": 0)", R"("state_bytes": 24)"}) {
    std::string text = store::to_text(small_manifest());
    const std::size_t at = text.find(replaced);
    ASSERT_NE(at, std::string::npos) << replaced;
    text.insert(at + std::string(replaced).size(), "e300");
    auto body = nlohmann::json::parse(text);
    body.erase("manifest_sha256");
    body["manifest_sha256"] = sha256_hex(std::string_view(body.dump()));
    EXPECT_THROW(store::parse_manifest(body.dump()), StoreError) << replaced;
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
