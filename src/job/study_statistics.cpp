#include "study_statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace tercet::job {
namespace {

// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom; from there on the normal one is 2 % off at
// most, and rounded up.
constexpr std::array kQuantiles = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                   2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                   2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
constexpr double kQuantileOfMany = 2.042;

double quantile(std::size_t degrees) {
  return degrees <= kQuantiles.size() ? kQuantiles.at(degrees - 1) : kQuantileOfMany;
}

}  // namespace

std::optional<Sample> sample_of(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  Sample sample;
  sample.values = values;
  const auto count = static_cast<double>(values.size());
  for (const double value : values) sample.mean += value;
  sample.mean /= count;
  if (values.size() < 2) return sample;
  double squares = 0;
  for (const double value : values) squares += (value - sample.mean) * (value - sample.mean);
  sample.deviation = std::sqrt(squares / (count - 1));
  sample.margin = quantile(values.size() - 1) * *sample.deviation / std::sqrt(count);
  return sample;
}

Standing compare(const Sample& sample, double value) {
  if (!sample.margin || !std::isfinite(sample.mean) || !std::isfinite(*sample.margin)) return Standing::kUnknown;
  if (sample.mean + *sample.margin < value) return Standing::kBelow;
  if (sample.mean - *sample.margin > value) return Standing::kAbove;
  return Standing::kNotToldApart;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace tercet::job
