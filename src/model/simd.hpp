// What the CPU loops of this module read and write: they compute in fp32 (or fp64) whatever the storage type is.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tercet/base/simd.hpp"

namespace tercet::simd {

// fp32 for float and bfloat16 data, fp64 for double.
template <typename T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

TERCET_INLINE float load(const float* p) {
  return *p;
}
TERCET_INLINE double load(const double* p) {
  return *p;
}
TERCET_INLINE float load(const c10::BFloat16* p) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(p->x) << 16);
}

TERCET_INLINE void store(float* p, float v) {
  *p = v;
}
TERCET_INLINE void store(double* p, double v) {
  *p = v;
}
TERCET_INLINE void store(c10::BFloat16* p, float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  const auto rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest even
  p->x = static_cast<std::uint16_t>(v == v ? rounded : 0x7fc0u);
}

// The largest |x[i]|, i < n; 0 without any. What is not a number is passed over. Without their sign the bits of
// floating point numbers are ordered as the numbers are, and a maximum of integers is a reduction that compilers
// vectorise.
template <typename T>
TERCET_INLINE Compute<T> largest_magnitude(const T* x, std::int64_t n) {
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
  constexpr int kMantissa = sizeof(T) == 2 ? 7 : std::numeric_limits<Compute<T>>::digits - 1;
  constexpr Bits kMagnitude = static_cast<Bits>(-1) >> 1;
  constexpr Bits kInfinity = kMagnitude >> kMantissa << kMantissa;
  Bits best = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, x + i, sizeof bits);
    bits &= kMagnitude;
    bits &= static_cast<Bits>(-static_cast<Bits>(bits <= kInfinity));  // by a mask: a branch would not be vectorised
    best = std::max(best, bits);
  }
  T largest;
  std::memcpy(&largest, &best, sizeof largest);
  return load(&largest);
}

}  // namespace tercet::simd
