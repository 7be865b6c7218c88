// Mean and spread of a few values, and whether they differ from a number. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tercet::job {

struct Sample {
  std::vector<double> values;
  double mean = 0;
  std::optional<double> deviation;  // standard deviation of a sample (n - 1); nullopt: fewer than two values
  std::optional<double> margin;     // half the 95 % confidence interval of the mean, by Student's t; likewise
};
// nullopt: no values.
std::optional<Sample> sample_of(const std::vector<double>& values);

enum class Standing { kUnknown, kBelow, kAbove, kNotToldApart };
// The mean against `value`: told apart when `value` lies outside the confidence interval. Unknown with fewer than two
// values, or values that are not finite.
Standing compare(const Sample& sample, double value);

double median(std::vector<double> values);  // of at least one value

}  // namespace tercet::job
