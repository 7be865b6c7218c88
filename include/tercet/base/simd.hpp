// Loops on the CPU that the compiler vectorises: one source, compiled for several instruction sets and chosen when the
// program is loaded, since the wheel of LibTorch runs on any x86-64 and our program must too.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

// Marks a function to be compiled several times. GCC learnt the names of the levels of x86-64 in release 12. The
// sanitizers' runtimes cannot live with ifunc resolvers.
#if !defined(__x86_64__) || !defined(__GNUC__) || defined(__clang__) || !defined(__OPTIMIZE__) || \
    defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TERCET_CLONES
#define TERCET_EXACT_CLONES
#else
#if __GNUC__ >= 12
#define TERCET_INSTRUCTION_SETS target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")
#else
#define TERCET_INSTRUCTION_SETS target_clones("avx512f", "avx2", "default")
#endif
#define TERCET_CLONES __attribute__((TERCET_INSTRUCTION_SETS))
// The same without fused multiply-adds: every clone gives the same bits.
#define TERCET_EXACT_CLONES __attribute__((TERCET_INSTRUCTION_SETS, optimize("fp-contract=off")))
#endif
// What a cloned function calls must be inlined into each clone, or it is compiled for the oldest machine.
#define TERCET_INLINE inline __attribute__((always_inline))

namespace tercet::simd {

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

// A whole number for a floating point one, in the same order; the least for what is not a number. All by masks: a
// branch would not be vectorised.
TERCET_INLINE std::int32_t order_of(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t number = -static_cast<std::int32_t>(x == x);
  return ((bits ^ (bits >> 31 & 0x7fffffff)) & number) | (std::numeric_limits<std::int32_t>::min() & ~number);
}
TERCET_INLINE std::int64_t order_of(double x) {
  const auto bits = std::bit_cast<std::int64_t>(x);
  const std::int64_t number = -static_cast<std::int64_t>(x == x);
  return ((bits ^ (bits >> 63 & 0x7fffffffffffffff)) & number) | (std::numeric_limits<std::int64_t>::min() & ~number);
}
TERCET_INLINE float in_order(std::int32_t order) {
  return std::bit_cast<float>(order ^ (order >> 31 & 0x7fffffff));
}
TERCET_INLINE double in_order(std::int64_t order) {
  return std::bit_cast<double>(order ^ (order >> 63 & 0x7fffffffffffffff));
}

// The largest of `start` and f(i), i < n; what is not a number is passed over. A maximum of whole numbers, since
// compilers vectorise that one.
template <typename C, typename F>
TERCET_INLINE C largest_of(std::int64_t n, C start, F f) {
  auto best = order_of(start);
  for (std::int64_t i = 0; i < n; ++i) best = std::max(best, order_of(C(f(i))));
  return in_order(best);
}

// e^x to about 2 ulp in fp32: 2^k p(r) with r = x - k ln 2 (Cephes expf's polynomial). Branch-free, so loops vectorise.
// 0 below -87, where the result is about to leave the normal numbers; at most e^88.
TERCET_INLINE float exp(float x) {
  const float most = x > 88.0f ? 88.0f : x;
  const float shifted = most * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: the integer part in the low bits
  const float k = shifted - 12582912.0f;
  const float r = (most - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(exponent);
}
TERCET_INLINE double exp(double x) {
  return __builtin_exp(x);
}

}  // namespace tercet::simd
