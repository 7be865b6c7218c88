#include "job/study_statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace tercet::job {
namespace {

TEST(StudyStatistics, AreThoseOfASample) {
  const Sample sample = *sample_of({1.0, 2.0, 6.0});
  EXPECT_DOUBLE_EQ(sample.mean, 3);
  EXPECT_DOUBLE_EQ(*sample.deviation, std::sqrt(7.0));  // (4 + 1 + 9) / 2
  EXPECT_DOUBLE_EQ(*sample.margin, 4.303 * std::sqrt(7.0) / std::sqrt(3.0));
}

TEST(StudyStatistics, OneValueHasNoSpreadAndNoneHasNothing) {
  EXPECT_FALSE(sample_of({}));
  const Sample one = *sample_of({1.5});
  EXPECT_EQ(one.mean, 1.5);
  EXPECT_FALSE(one.deviation);
  EXPECT_EQ(compare(one, 1), Standing::kUnknown);
}

TEST(StudyStatistics, TellApartWhatLiesOutsideTheInterval) {
  const Sample close = *sample_of({1.01, 1.03});  // mean 1.02, margin 12.706 * 0.01
  EXPECT_EQ(compare(close, 1), Standing::kNotToldApart);
  EXPECT_EQ(compare(close, 1.02 - 0.1269), Standing::kNotToldApart);
  EXPECT_EQ(compare(close, 1.02 - 0.1272), Standing::kAbove);
  EXPECT_EQ(compare(close, 1.02 + 0.1272), Standing::kBelow);
  EXPECT_EQ(compare(*sample_of({1, std::numeric_limits<double>::infinity()}), 1), Standing::kUnknown);
  EXPECT_EQ(compare(*sample_of(std::vector<double>(100, 1.0)), 1), Standing::kNotToldApart);
}

TEST(StudyStatistics, TheMedianIsTheMiddleOrBetweenTheMiddleTwo) {
  EXPECT_EQ(median({5, 1, 3}), 3);
  EXPECT_EQ(median({5, 1, 3, 4}), 3.5);
  EXPECT_EQ(median({2}), 2);
}

}  // namespace
}  // namespace tercet::job
