// Publication step by step: a crash between two steps leaves the old state or the new one, and doing all again ends in
// the new one.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "job/family_publication.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

struct Publication : testing::Test {
  Publication() {
    fs::create_directories(artifacts / "hf");
    write("first");
  }
  void write(const std::string& text) {
    fs::remove(artifacts / "model.pt");  // a file is replaced, never changed: published links keep the old one
    fs::remove(artifacts / "hf" / "config.json");
    std::ofstream(artifacts / "model.pt") << text;
    std::ofstream(artifacts / "hf" / "config.json") << text;
  }
  std::set<std::string> folders() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(models)) names.insert(entry.path().filename().string());
    return names;
  }
  void publish(const std::string& name) const {
    publish_artifacts(artifacts, models, name);
    point_latest(models, name);
  }
  test::ScratchFolder scratch;
  fs::path artifacts = scratch.path() / "run" / "artifacts", models = scratch.path() / "models" / "a-x";
};

TEST_F(Publication, LeavesAWholeCopyARelativeLinkAndTheRunAsItWas) {
  publish("n1-f");
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "first");
  EXPECT_EQ(read_file(models / "latest" / "hf" / "config.json"), "first");
  EXPECT_EQ(fs::read_symlink(models / "latest"), "n1-f");
  EXPECT_EQ(read_file(artifacts / "model.pt"), "first");
}

TEST_F(Publication, TakesNoRoomOfItsOwn) {
  publish("n1-f");
  struct stat published {
  }, own{};
  ASSERT_EQ(::stat((models / "n1-f" / "model.pt").c_str(), &published), 0);
  ASSERT_EQ(::stat((artifacts / "model.pt").c_str(), &own), 0);
  EXPECT_EQ(published.st_ino, own.st_ino);
}

TEST_F(Publication, ACrashWhileStagingLeavesTheOldOneAndTheNextAttemptCleansUp) {
  publish("n1-f");
  write("second");
  fs::create_directories(models / ".staged-n2-f" / "hf");
  std::ofstream(models / ".staged-n2-f" / "model.pt") << "half";
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "first");
  publish("n2-f");
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "second");
  retire_publications(models, {"n1-f", "n2-f"}, 5);
  EXPECT_EQ(folders(), (std::set<std::string>{"latest", "n1-f", "n2-f"}));
}

TEST_F(Publication, ACrashBeforeTheLinkMovesLeavesTheOldOneAndDoingItAgainMovesIt) {
  publish("n1-f");
  write("second");
  publish_artifacts(artifacts, models, "n2-f");
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "first");
  fs::create_directory_symlink("n2-f", models / ".latest-n2-f");  // and the link was staged
  publish("n2-f");
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "second");
}

TEST_F(Publication, DoneTwiceChangesNothing) {
  publish("n1-f");
  write("changed behind its back");
  publish("n1-f");
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "first");
  EXPECT_EQ(folders(), (std::set<std::string>{"latest", "n1-f"}));
}

TEST_F(Publication, OldOnesGoTheLatestAndUnknownFoldersStay) {
  for (const char* name : {"n1-f", "n2-f", "n3-f"}) publish(name);
  fs::create_directories(models / "by-hand");
  retire_publications(models, {"n1-f", "n2-f", "n3-f"}, 2);
  EXPECT_EQ(folders(), (std::set<std::string>{"by-hand", "latest", "n2-f", "n3-f"}));
  point_latest(models, "n2-f");  // somebody went back
  retire_publications(models, {"n1-f", "n2-f", "n3-f"}, 1);
  EXPECT_EQ(folders(), (std::set<std::string>{"by-hand", "latest", "n2-f", "n3-f"}));
}

TEST_F(Publication, ACrashWhileRetiringIsCleanedUpByTheNext) {
  publish("n1-f");
  publish("n2-f");
  fs::rename(models / "n1-f", models / ".retired-n1-f");
  retire_publications(models, {"n1-f", "n2-f"}, 1);
  EXPECT_EQ(folders(), (std::set<std::string>{"latest", "n2-f"}));
}

TEST_F(Publication, AFolderThatCannotBeMadeIsAnErrorAndLeavesTheLink) {
  publish("n1-f");
  std::ofstream(models.parent_path() / "b-x") << "a file";
  EXPECT_THROW(publish_artifacts(artifacts, models.parent_path() / "b-x", "n1-f"), StoreError);
  EXPECT_EQ(read_file(models / "latest" / "model.pt"), "first");
}

TEST(InputsFingerprint, IsThatOfConfigurationWeightsAndText) {
  const nlohmann::json metadata = {{"config", {{"fingerprint", "c"}}},
                                   {"model", {{"weights_sha256", "m"}}},
                                   {"data", nlohmann::json::array({{{"sha256", "t"}}})}};
  const std::string before = inputs_fingerprint(metadata);
  EXPECT_EQ(before.size(), 12u);
  for (const char* key : {"/config/fingerprint", "/model/weights_sha256", "/data/0/sha256"}) {
    nlohmann::json changed = metadata;
    changed[nlohmann::json::json_pointer(key)] = "other";
    EXPECT_NE(inputs_fingerprint(changed), before) << key;
  }
  EXPECT_THROW(inputs_fingerprint(nlohmann::json::object()), StoreError);
}

}  // namespace
}  // namespace tercet::job
