#include "solve/scale_fit.hpp"

#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tercet::solve {
namespace {

constexpr float kSmallestScale = 6.2e-5f;  // above fp16's smallest normal number
constexpr float kLargestScale = 65504.0f;  // fp16's largest

}  // namespace

double as_stored_scale(double scale) {
  return static_cast<float>(c10::Half(std::clamp(static_cast<float>(scale), kSmallestScale, kLargestScale)));
}

double fit_scale(const std::vector<double>& weights, const std::vector<double>& importance) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(weights[a]) > std::fabs(weights[b]); });
  double best_scale = 0, best_gain = 0, magnitude = 0, total = 0;
  for (const std::size_t j : order) {
    magnitude += importance[j] * std::fabs(weights[j]);
    total += importance[j];
    const double gain = total > 0 ? magnitude * magnitude / total : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = magnitude / total;
    }
  }
  return as_stored_scale(best_scale);
}

}  // namespace tercet::solve
