// Helpers for the CPU loops of this module: one source, compiled for several instruction sets and chosen at run time,
// and loads and stores that compute in fp32 (or fp64) whatever the storage type is.
#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>
#include <type_traits>

// The wheel of LibTorch runs on any x86-64, so our program must too: the loops are cloned, not compiled for one
// machine. The sanitizers' runtimes cannot live with ifunc resolvers.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TERCET_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TERCET_MULTIVERSION
#endif
// What a cloned function calls must be inlined into each clone, or it is compiled for the oldest machine.
#define TERCET_INLINE inline __attribute__((always_inline))

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

// sum over i < n of f(i), in 16 independent lanes: the compiler may not reorder a single running sum by itself.
template <typename C, typename F>
TERCET_INLINE C sum_lanes(std::int64_t n, F f) {
  constexpr std::int64_t kLanes = 16;
  C lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] += f(i + j);
  }
  C sum = 0;
  for (; i < n; ++i) sum += f(i);
  for (std::int64_t j = 0; j < kLanes; ++j) sum += lanes[j];
  return sum;
}

template <typename C, typename F>
TERCET_INLINE C max_lanes(std::int64_t n, C start, F f) {
  constexpr std::int64_t kLanes = 16;
  C lanes[kLanes];
  for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] = start;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) {
      const C v = f(i + j);
      lanes[j] = v > lanes[j] ? v : lanes[j];
    }
  }
  C best = start;
  for (; i < n; ++i) best = f(i) > best ? f(i) : best;
  for (std::int64_t j = 0; j < kLanes; ++j) best = lanes[j] > best ? lanes[j] : best;
  return best;
}

// e^x to about 2 ulp in fp32: 2^k p(r) with r = x - k ln 2 (Cephes expf's polynomial). Branch-free, so loops vectorise.
TERCET_INLINE float exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: the integer part lands in the low bits
  const float k = shifted - 12582912.0f;
  const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;
  return p * std::bit_cast<float>(exponent);
}
TERCET_INLINE double exp(double x) {
  return __builtin_exp(x);
}

}  // namespace tercet::simd
