#include "softmax_rows.hpp"

#include <cmath>

#include "tercet/base/simd.hpp"

namespace tercet::train {
namespace {

constexpr std::int64_t kLanes = 16;

double total(const float* lanes) {
  double sum = 0;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

}  // namespace

TERCET_EXACT_CLONES SoftmaxRow exponentials(const float* logits, float* values, std::int64_t count) {
  const float max = simd::largest_of<float>(count, logits[0], [&](std::int64_t i) { return logits[i]; });
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = simd::exp(logits[i + lane] - max);
      values[i + lane] = value;
      sums[lane] += value;
    }
  }
  for (; i < count; ++i) sums[0] += values[i] = simd::exp(logits[i] - max);
  return {max, total(sums)};
}

TERCET_EXACT_CLONES double divergence(const float* p_logits, const float* p_values, SoftmaxRow p, const float* q_logits,
                                      SoftmaxRow q, std::int64_t count) {
  // sum p (zp - zq) with the rows shifted by their maxima; the two log-sums join at the end.
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += p_values[i + lane] * ((p_logits[i + lane] - p.max) - (q_logits[i + lane] - q.max));
    }
  }
  for (; i < count; ++i) sums[0] += p_values[i] * ((p_logits[i] - p.max) - (q_logits[i] - q.max));
  return total(sums) / p.sum - std::log(p.sum) + std::log(q.sum);
}

TERCET_EXACT_CLONES void logit_gradient(const float* p_values, double p_sum, const float* q_values, double q_sum,
                                        float kl, float ce, float* gradient, std::int64_t count) {
  const auto q_factor = static_cast<float>((kl + ce) / q_sum);
  if (p_values == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) gradient[i] = q_values[i] * q_factor;
    return;
  }
  const auto p_factor = static_cast<float>(kl / p_sum);
  for (std::int64_t i = 0; i < count; ++i) gradient[i] = q_values[i] * q_factor - p_values[i] * p_factor;
}

}  // namespace tercet::train
