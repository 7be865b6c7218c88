#include "store/confined.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "support/errors.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using namespace std::chrono_literals;
using store::in_own_process;
using test::message_of;

TEST(Confined, GivesTheResultWhateverItsLength) {
  const std::string large(1 << 22, 'x');  // more than a pipe holds
  EXPECT_EQ(in_own_process([&] { return large; }, 60s), large);
  EXPECT_EQ(in_own_process([] { return std::string(); }, 60s), "");
}

TEST(Confined, LeavesThisProcessAlone) {
  int value = 1;
  EXPECT_EQ(in_own_process([&] { return std::to_string(++value); }, 60s), "2");
  EXPECT_EQ(value, 1);
}

TEST(Confined, ThrowsTheWordsOfAnErrorInside) {
  EXPECT_MENTIONS(
      message_of<StoreError>([] { in_own_process([]() -> std::string { throw DataError("a bad file"); }, 60s); }),
      "a bad file");
}

TEST(Confined, SurvivesACrashInside) {
  EXPECT_MENTIONS(
      message_of<StoreError>([] { in_own_process([]() -> std::string { return std::raise(SIGKILL), ""; }, 60s); }),
      "a crash");
}

TEST(Confined, EndsWhatHasNoEnd) {
  EXPECT_MENTIONS(message_of<StoreError>([] {
                    in_own_process(
                        []() -> std::string {
                          const volatile bool more = true;
                          while (more) {
                          }
                          return "";
                        },
                        1s);
                  }),
                  "no end after 1 s");
}

}  // namespace
}  // namespace tercet
