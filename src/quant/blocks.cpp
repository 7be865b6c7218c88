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

TERCET_EXACT_CLONES NonZeroSums sum_non_zero(const float* weight, const float* column_weight, std::int64_t count,
                                             float mean, float threshold) {
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
        const float kept = magnitude / mean > threshold ? h : 0.0f;
        magnitudes[lane] += kept * magnitude;
        weights[lane] += kept;
      }
    }
    sums.weighted_magnitude += total(magnitudes);
    sums.weight += total(weights);
  }
  return sums;
}

TERCET_EXACT_CLONES void write_ternary(const float* weight, std::int64_t count, float mean, float threshold,
                                       float scale, float* out, std::int8_t* trits) {
  if (out != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = std::copysign(scale, weight[i]);
      out[i] = std::fabs(weight[i]) / mean > threshold ? value : 0.0f;
    }
  }
  if (trits != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      const int sign = weight[i] < 0 ? -1 : 1;
      trits[i] = static_cast<std::int8_t>(std::fabs(weight[i]) / mean > threshold ? sign : 0);
    }
  }
}

TERCET_EXACT_CLONES float max_magnitude(const float* weight, std::int64_t count) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(weight[i]));
  return largest;
}

TERCET_EXACT_CLONES void write_int8(const float* weight, std::int64_t count, float scale, std::int8_t* codes) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float rounded = std::nearbyint(weight[i] / scale);
    codes[i] = static_cast<std::int8_t>(std::min(std::max(rounded, -127.0f), 127.0f));
  }
}

}  // namespace tercet::quant
