#include "comm/last_resort.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace tercet {
namespace {

using comm::last_resort::within;
using std::chrono::milliseconds;

TEST(LastResortDeathTest, EndsTheProcessWithTheWordsAndTheCode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        within(0.2, 70, "rank 3: nothing gets on");
        std::this_thread::sleep_for(std::chrono::minutes(5));
      },
      testing::ExitedWithCode(70), "rank 3: nothing gets on");
}

TEST(LastResortDeathTest, TheLastCallCounts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        within(1.5, 70, "the first");
        for (int i = 0; i < 10; ++i) {  // far longer than the first, but told each time that all is well
          std::this_thread::sleep_for(milliseconds(200));
          within(600, 70, "again");
        }
        within(0.2, 71, "the last");
        std::this_thread::sleep_for(std::chrono::minutes(5));
      },
      testing::ExitedWithCode(71), "^the last\n$");
}

}  // namespace
}  // namespace tercet
