// The arithmetic of one run of weights inside a scale block, written so that compilers vectorise it. Sums are kept in
// lanes of a fixed number, so a result does not depend on the instruction set that runs it.
#pragma once

#include <cstdint>

namespace tercet::quant {

struct NonZeroSums {
  double weighted_magnitude = 0;  // sum of h|w| over non-zeros
  double weight = 0;              // sum of h over non-zeros
};

double sum_magnitude(const float* weight, std::int64_t count);

// Sums over the weights with |w| / mean > threshold; h = 1 without column weights.
NonZeroSums sum_non_zero(const float* weight, const float* column_weight, std::int64_t count, float mean,
                         float threshold);

// out = scale * T and trits = T where asked for (either may be null).
void write_ternary(const float* weight, std::int64_t count, float mean, float threshold, float scale, float* out,
                   std::int8_t* trits);

float max_magnitude(const float* weight, std::int64_t count);

// codes = clamp(round_half_even(w / scale), -127, 127).
void write_int8(const float* weight, std::int64_t count, float scale, std::int8_t* codes);

}  // namespace tercet::quant
