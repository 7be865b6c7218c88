// The arithmetic of one run of weights inside a scale block, written so that compilers vectorise it. Sums are kept in
// lanes of a fixed number, so a result does not depend on the instruction set that runs it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "tercet/base/simd.hpp"

namespace tercet::quant {

struct NonZeroSums {
  double weighted_magnitude = 0;  // sum of h|w| over non-zeros
  double weight = 0;              // sum of h over non-zeros
};

double sum_magnitude(const float* weight, std::int64_t count);
// The same of `runs` runs of `width` weights each, one behind the other; short ones take turns in the processor's
// pipelines.
void sum_magnitudes(const float* weight, std::int64_t width, std::int64_t runs, double* sums);

// The largest magnitude for which |w| / mean > threshold, in fp32, does not hold (below 0: there is none), so that
// |w| > largest_zero(...) says the same of every weight without dividing each. `mean` is above 0.
float largest_zero(float mean, float threshold);

// Sums over the weights with |w| > limit; h = 1 without column weights.
NonZeroSums sum_non_zero(const float* weight, const float* column_weight, std::int64_t count, float limit);

// With T = sign(w) where |w| > limit, else 0: out = scale * T and trits = T where asked for (either may be null).
void write_ternary(const float* weight, std::int64_t count, float limit, float scale, float* out, std::int8_t* trits);

struct Extremes {
  float low = 0, high = 0;  // of the weights and 0
};
Extremes extremes(const float* weight, std::int64_t count);

// level = clamp(round_half_even(w / scale) + zero, lowest, highest); all but the scale are whole numbers.
struct LevelMap {
  float scale = 1, zero = 0, lowest = 0, highest = 0;
};
// out = (level - zero) * scale rounded to fp16, and levels, where asked for (either may be null).
void write_levels(const float* weight, std::int64_t count, const LevelMap& map, float* out, std::int8_t* levels);
// sum h (w - value)^2 with the values of write_levels; h = 1 without column weights.
double level_error(const float* weight, const float* column_weight, std::int64_t count, const LevelMap& map);

// The nearest fp16 as float32, half to even, by arithmetic alone so that loops vectorise: 11 significant bits, and
// multiples of 2^-24 below fp16's normal numbers. Beyond its largest number the result is not fp16's infinity: scales
// are kept so small that no value comes there.
TERCET_INLINE float round_to_half(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto normal = std::bit_cast<float>((bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu);
  const float magnitude = std::fabs(x);
  const float small = std::copysign((magnitude + 0.75f) - 0.75f, x);  // the last bit of 0.75 in fp32 is 2^-24
  return magnitude < 6.103515625e-5f ? small : normal;
}

}  // namespace tercet::quant
