#include "blocks.hpp"

#include <algorithm>
#include <cmath>

#include "tercet/base/simd.hpp"

namespace tercet::quant {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kChunk = 256;  // floats summed in fp32 lanes before they join the fp64 total

double total(const float* lanes) {
  double sum = 0;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

// Half to even, for |x| below 2^22: 1.5 * 2^23 leaves no bits for a fraction.
TERCET_INLINE float round_half_even(float x) {
  return (x + 12582912.0f) - 12582912.0f;
}

TERCET_INLINE float nearest_level(float weight, const LevelMap& map) {
  const float ratio = std::min(std::max(weight / map.scale, -1024.0f), 1024.0f);
  return std::min(std::max(round_half_even(ratio) + map.zero, map.lowest), map.highest);
}

}  // namespace

TERCET_EXACT_CLONES double sum_magnitude(const float* weight, std::int64_t count) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t end = std::min(begin + kChunk, count);
    float lanes[kLanes] = {};
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += std::fabs(weight[i + lane]);
    }
    for (std::int64_t lane = 0; i < end; ++i, ++lane) lanes[lane] += std::fabs(weight[i]);
    sum += total(lanes);
  }
  return sum;
}

TERCET_EXACT_CLONES void sum_magnitudes(const float* weight, std::int64_t width, std::int64_t runs, double* sums) {
  constexpr std::int64_t kTogether = 8;
  const bool short_runs = width <= kChunk && width % kLanes == 0;
  std::int64_t run = 0;
  for (; short_runs && run + kTogether <= runs; run += kTogether) {
    float lanes[kTogether][kLanes] = {};
    for (std::int64_t k = 0; k < kTogether; ++k) {
      const float* at = weight + (run + k) * width;
      for (std::int64_t i = 0; i < width; i += kLanes) {
        for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[k][lane] += std::fabs(at[i + lane]);
      }
    }
    double totals[kTogether] = {};
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      for (std::int64_t k = 0; k < kTogether; ++k) totals[k] += lanes[k][lane];
    }
    std::copy(totals, totals + kTogether, sums + run);
  }
  for (; run < runs; ++run) sums[run] = sum_magnitude(weight + run * width, width);
}

float largest_zero(float mean, float threshold) {
  const auto is_zero = [&](std::uint32_t bits) { return !(std::bit_cast<float>(bits) / mean > threshold); };
  constexpr std::uint32_t kInfinity = 0x7f800000u;
  if (!is_zero(0)) return -1;
  if (is_zero(kInfinity)) return std::bit_cast<float>(kInfinity);
  // Between these two, which are neighbours of the product nearly always. Positive floats are ordered as their bits
  // are.
  std::uint32_t zero = 0, non_zero = kInfinity;
  const auto product = std::bit_cast<std::uint32_t>(std::fabs(mean * threshold));
  for (std::uint32_t bits = product < 2 ? 0 : product - 2; bits < std::min(product + 3, kInfinity); ++bits) {
    (is_zero(bits) ? zero : non_zero) = bits;
    if (non_zero == bits) break;
  }
  while (non_zero - zero > 1) {
    const std::uint32_t middle = zero + (non_zero - zero) / 2;
    (is_zero(middle) ? zero : non_zero) = middle;
  }
  return std::bit_cast<float>(zero);
}

TERCET_EXACT_CLONES NonZeroSums sum_non_zero(const float* weight, const float* column_weight, std::int64_t count,
                                             float limit) {
  NonZeroSums sums;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t end = std::min(begin + kChunk, count);
    float magnitudes[kLanes] = {};
    float weights[kLanes] = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const std::int64_t lanes = std::min(kLanes, end - i);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const float magnitude = std::fabs(weight[i + lane]);
        const float h = column_weight == nullptr ? 1.0f : column_weight[i + lane];
        const float kept = magnitude > limit ? h : 0.0f;
        magnitudes[lane] += kept * magnitude;
        weights[lane] += kept;
      }
    }
    sums.weighted_magnitude += total(magnitudes);
    sums.weight += total(weights);
  }
  return sums;
}

TERCET_EXACT_CLONES void write_ternary(const float* weight, std::int64_t count, float limit, float scale, float* out,
                                       std::int8_t* trits) {
  if (out != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = std::copysign(scale, weight[i]);
      out[i] = std::fabs(weight[i]) > limit ? value : 0.0f;
    }
  }
  if (trits != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      const int sign = weight[i] < 0 ? -1 : 1;
      trits[i] = static_cast<std::int8_t>(std::fabs(weight[i]) > limit ? sign : 0);
    }
  }
}

TERCET_EXACT_CLONES Extremes extremes(const float* weight, std::int64_t count) {
  float low[kLanes] = {}, high[kLanes] = {};
  for (std::int64_t i = 0; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      low[lane] = std::min(low[lane], weight[i + lane]);
      high[lane] = std::max(high[lane], weight[i + lane]);
    }
  }
  Extremes result{*std::min_element(low, low + kLanes), *std::max_element(high, high + kLanes)};
  for (std::int64_t i = count / kLanes * kLanes; i < count; ++i) {
    result.low = std::min(result.low, weight[i]);
    result.high = std::max(result.high, weight[i]);
  }
  return result;
}

TERCET_EXACT_CLONES void write_levels(const float* weight, std::int64_t count, const LevelMap& map, float* out,
                                      std::int8_t* levels) {
  if (out != nullptr) {
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = round_to_half((nearest_level(weight[i], map) - map.zero) * map.scale);
  }
  if (levels != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) levels[i] = static_cast<std::int8_t>(nearest_level(weight[i], map));
  }
}

TERCET_EXACT_CLONES double level_error(const float* weight, const float* column_weight, std::int64_t count,
                                       const LevelMap& map) {
  double sum = 0;
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    const std::int64_t end = std::min(begin + kChunk, count);
    float lanes[kLanes] = {};
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const std::int64_t width = std::min(kLanes, end - i);
      for (std::int64_t lane = 0; lane < width; ++lane) {
        const float value = round_to_half((nearest_level(weight[i + lane], map) - map.zero) * map.scale);
        const float lost = weight[i + lane] - value;
        lanes[lane] += (column_weight == nullptr ? 1.0f : column_weight[i + lane]) * lost * lost;
      }
    }
    sum += total(lanes);
  }
  return sum;
}

}  // namespace tercet::quant
