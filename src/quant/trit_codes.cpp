#include "quant/trit_codes.hpp"

#include <algorithm>
#include <cstring>

#include "tercet/base/simd.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace tercet::quant {
namespace {

#if defined(__x86_64__) && defined(__GNUC__)

bool has_avx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi2");
  return has;
}

constexpr std::int64_t kAhead = 4096;  // floats: while these are compared, memory brings those

// Comparisons give a bit for each of 32 weights, which pdep spreads to every other bit. Returns how many it took.
__attribute__((target("avx512f,bmi2"))) std::int64_t write_thirty_twos(const float* weight, std::int64_t count,
                                                                       float cut, std::uint8_t* bytes) {
  const __m512 high = _mm512_set1_ps(cut), low = _mm512_set1_ps(-cut);
  std::int64_t done = 0;
  for (; done + 32 <= count; done += 32) {
    _mm_prefetch(reinterpret_cast<const char*>(weight + done + kAhead), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(weight + done + kAhead + 16), _MM_HINT_T1);
    const __m512 left = _mm512_loadu_ps(weight + done), right = _mm512_loadu_ps(weight + done + 16);
    const std::uint32_t above = static_cast<std::uint32_t>(_mm512_cmp_ps_mask(left, high, _CMP_GT_OQ)) |
                                static_cast<std::uint32_t>(_mm512_cmp_ps_mask(right, high, _CMP_GT_OQ)) << 16;
    const std::uint32_t below = static_cast<std::uint32_t>(_mm512_cmp_ps_mask(left, low, _CMP_LT_OQ)) |
                                static_cast<std::uint32_t>(_mm512_cmp_ps_mask(right, low, _CMP_LT_OQ)) << 16;
    const std::uint64_t codes =
        _pdep_u64(above, 0xaaaaaaaaaaaaaaaaU) | _pdep_u64(~(above | below), 0x5555555555555555U);
    std::memcpy(bytes + done / 4, &codes, sizeof codes);
  }
  return done;
}

#else

bool has_avx512() {
  return false;
}
std::int64_t write_thirty_twos(const float*, std::int64_t, float, std::uint8_t*) {
  return 0;
}

#endif

}  // namespace

TERCET_CLONES void write_trit_codes_by_loops(const float* weight, std::int64_t count, float cut, std::uint8_t* bytes) {
  constexpr std::int64_t kPart = 256;
  std::uint8_t codes[kPart];
  std::uint32_t fours[kPart / 4];
  for (std::int64_t begin = 0; begin < count; begin += kPart) {
    const std::int64_t length = std::min(kPart, count - begin), words = (length + 3) / 4;
    for (std::int64_t i = 0; i < length; ++i) {
      const std::int32_t above = weight[begin + i] > cut ? 1 : 0, below = weight[begin + i] < -cut ? 1 : 0;
      codes[i] = static_cast<std::uint8_t>(1 + above - below);  // no branch: compilers would not vectorise it
    }
    for (std::int64_t i = length; i < 4 * words; ++i) codes[i] = 0;
    std::memcpy(fours, codes, static_cast<std::size_t>(4 * words));  // little endian: the first code comes lowest
    for (std::int64_t i = 0; i < words; ++i) {
      const std::uint32_t four = fours[i];
      bytes[begin / 4 + i] = static_cast<std::uint8_t>(four | four >> 6 | four >> 12 | four >> 18);
    }
  }
}

void write_trit_codes(const float* weight, std::int64_t count, float cut, std::uint8_t* bytes) {
  const std::int64_t done = has_avx512() ? write_thirty_twos(weight, count, cut, bytes) : 0;
  if (done < count) write_trit_codes_by_loops(weight + done, count - done, cut, bytes + done / 4);
}

}  // namespace tercet::quant
