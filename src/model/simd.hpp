// What the CPU loops of this module read and write: they compute in fp32 (or fp64) whatever the storage type is.
#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>
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

}  // namespace tercet::simd
