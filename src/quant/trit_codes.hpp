// Weights to the packed two-bit codes of their trits.
#pragma once

#include <cstdint>

namespace tercet::quant {

// Four codes in a byte, from the lowest bits on: 2 where the weight is above `cut`, 0 where it is below -cut, else 1
// (and where it is not a number). Writes ceil(count / 4) bytes; what is left of the last one is zero.
void write_trit_codes(const float* weight, std::int64_t count, float cut, std::uint8_t* bytes);
// The same without intrinsics, for processors that lack AVX-512.
void write_trit_codes_by_loops(const float* weight, std::int64_t count, float cut, std::uint8_t* bytes);

}  // namespace tercet::quant
