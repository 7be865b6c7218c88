// Every parser again on what once broke it, and on damaged files of our own writers.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "mutate.hpp"
#include "target.hpp"

// LibTorch's archive reader forgets its table of contents (some hundred bytes) when its constructor throws.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:mz_zip_reader_init\n";
}

namespace tercet::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDamagesOfASeed = 1500;
// A parser with slow files may do fewer; what counts is the order of milliseconds, not the exact number.
constexpr std::chrono::seconds kLongest{4};

class Parser : public testing::TestWithParam<std::string> {
 protected:
  const Target& target() const {
    return *std::find_if(targets().begin(), targets().end(), [](const Target& t) { return t.name == GetParam(); });
  }
};

TEST_P(Parser, StillStandsWhatBrokeItOnce) {
  const fs::path folder = fs::path(TERCET_REGRESSIONS) / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << "nothing has broken it yet";
  int replayed = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().string());
    EXPECT_NO_THROW(attack(target(), content_of(entry.path())));
    ++replayed;
  }
  EXPECT_GT(replayed, 0) << folder;
}

TEST_P(Parser, ReadsItsSeeds) {
  const auto seeds = target().seeds();
  ASSERT_FALSE(seeds.empty());
  // The first is as our writer made it; a target that refuses it would test nothing.
  EXPECT_NO_THROW(target().read(seeds.front()));
}

TEST_P(Parser, StandsDamagedFiles) {
  if (!target().searched) GTEST_SKIP() << "a library below has faults of its own";
  const auto begin = std::chrono::steady_clock::now();
  const auto seeds = target().seeds();
  std::uint64_t attacks = 0;
  for (std::uint64_t index = 0; index < kDamagesOfASeed; ++index) {
    for (const std::string& seed : seeds) {
      SCOPED_TRACE("damage " + std::to_string(index));
      EXPECT_NO_THROW(attack(target(), damaged(seed, index)));
      ++attacks;
    }
    if (std::chrono::steady_clock::now() - begin > kLongest) break;
  }
  EXPECT_GT(attacks, 20u);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Target& target : targets()) all.push_back(target.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Parser, testing::ValuesIn(names()), [](const auto& parser) { return parser.param; });

}  // namespace
}  // namespace tercet::fuzz
