#include "softmax_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define TERCET_CLONES __attribute__((target_clones("avx512f", "avx2", "default"), optimize("fp-contract=off")))
#else
#define TERCET_CLONES
#endif

namespace tercet::train {
namespace {

constexpr std::int64_t kLanes = 16;

// exp(x) for x <= 0 to about 2 units in the last place: x = n ln2 + r, |r| <= ln2 / 2, Taylor to r^7.
// Branch-free so that loops over it vectorise; below -87 the result is flushed to 0.
inline float exponential(float x) {
  const float clamped = std::max(x, -87.0f);
  const float n = std::nearbyint(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln2 in two parts, the first exact in few bits
  float series = 1.98412698e-4f;
  series = series * r + 1.38888889e-3f;
  series = series * r + 8.33333333e-3f;
  series = series * r + 4.16666667e-2f;
  series = series * r + 1.66666667e-1f;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  const float power = std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
  return x < -87.0f ? 0.0f : series * power;
}

double total(const float* lanes) {
  double sum = 0;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

}  // namespace

TERCET_CLONES SoftmaxRow exponentials(const float* logits, float* values, std::int64_t count) {
  float largest[kLanes];
  std::fill(largest, largest + kLanes, logits[0]);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) largest[lane] = std::max(largest[lane], logits[i + lane]);
  }
  for (; i < count; ++i) largest[0] = std::max(largest[0], logits[i]);
  const float max = *std::max_element(largest, largest + kLanes);

  float sums[kLanes] = {};
  for (i = 0; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = exponential(logits[i + lane] - max);
      values[i + lane] = value;
      sums[lane] += value;
    }
  }
  for (; i < count; ++i) sums[0] += values[i] = exponential(logits[i] - max);
  return {max, total(sums)};
}

TERCET_CLONES double divergence(const float* p_logits, const float* p_values, SoftmaxRow p, const float* q_logits,
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

TERCET_CLONES void logit_gradient(const float* p_values, double p_sum, const float* q_values, double q_sum, float kl,
                                  float ce, float* gradient, std::int64_t count) {
  const auto q_factor = static_cast<float>((kl + ce) / q_sum);
  if (p_values == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) gradient[i] = q_values[i] * q_factor;
    return;
  }
  const auto p_factor = static_cast<float>(kl / p_sum);
  for (std::int64_t i = 0; i < count; ++i) gradient[i] = q_values[i] * q_factor - p_values[i] * p_factor;
}

}  // namespace tercet::train
