#include "job/run_identity.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

class RunIdentityInAFolder : public ::testing::Test {
 protected:
  RunIdentity identity(std::vector<std::string> allowed = {}) { return {scratch_.path(), std::move(allowed)}; }
  test::ScratchFolder scratch_;
};

TEST_F(RunIdentityInAFolder, TheFirstAttemptRecordsAndTheNextAgrees) {
  EXPECT_TRUE(identity().check("settings", {{"seed", "42"}}).empty());
  EXPECT_TRUE(identity().check("settings", {{"seed", "42"}}).empty());
}

TEST_F(RunIdentityInAFolder, EveryChangeIsNamedWithBothValues) {
  identity().check("settings", {{"seed", "42"}, {"training.tokens", "1000"}, {"same", "x"}});
  try {
    identity().check("settings", {{"seed", "7"}, {"training.tokens", "2000"}, {"same", "x"}, {"new", "y"}});
    FAIL() << "nothing was thrown";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("seed: was 42, is 7"), std::string::npos) << text;
    EXPECT_NE(text.find("training.tokens: was 1000, is 2000"), std::string::npos) << text;
    EXPECT_NE(text.find("new: was not set, is y"), std::string::npos) << text;
    EXPECT_EQ(text.find("same"), std::string::npos) << text;
  }
}

TEST_F(RunIdentityInAFolder, AnAllowedChangeIsReportedAndTheRunKeepsItsName) {
  identity().check("settings", {{"model.path", "/a"}});
  const std::string name = identity().fingerprint();
  RunIdentity later = identity({"model.path"});
  EXPECT_EQ(later.check("settings", {{"model.path", "/b"}}), std::vector<std::string>{"model.path: was /a, is /b"});
  EXPECT_EQ(later.fingerprint(), name);
  EXPECT_THROW(identity().check("settings", {{"model.path", "/b"}}), ConfigError);
}

TEST_F(RunIdentityInAFolder, InputsBelongToTheName) {
  identity().check("settings", {{"seed", "42"}});
  const std::string before = identity().fingerprint();
  identity().check("inputs", {{"tokenizer", "abc"}});
  EXPECT_NE(identity().fingerprint(), before);
  EXPECT_THROW(identity().check("inputs", {{"tokenizer", "abd"}}), ConfigError);
}

TEST_F(RunIdentityInAFolder, ADamagedFileIsAnErrorThatNamesIt) {
  std::ofstream(scratch_.path() / "identity.json") << "{\"settings\": 3";
  EXPECT_THROW(identity(), StoreError);
}

}  // namespace
}  // namespace tercet::job
