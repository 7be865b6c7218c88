// AVX2: vpmaddubsw multiplies unsigned codes with values and adds pairs in int16, saturating, so what is summed there
// must stay below 2^15. 2 and 4 bits: at most 3 * 127 * 2 and 15 * 127 * 2 a pair, of which kSafe chunks fit. 8 bits:
// magnitudes of the levels with the values given their signs, at most 128 * 127 * 2 a pair, widened at once.
#include "kernels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace tercet::kernels {
namespace {

constexpr std::int64_t kAhead = 6144;  // bytes of prefetch
constexpr int kHalves = 2;             // of a chunk: 8 rows each

// Chunks whose sums of pairs fit int16: fields * largest code * 127 * 2 * kSafe < 2^15.
template <int kBits>
constexpr std::int64_t kSafe = kBits == 2 ? 8 : 4;

inline __m256i broadcast(const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i widened(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

inline __m256i load(const std::uint8_t* place) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place));
}

inline __m256 add_group(const Operands& o, std::int64_t place, std::int32_t x_sum, __m256i sum, __m256 total) {
  __m256i zero = _mm256_set1_epi32(o.zero);
  if (o.zero_points != nullptr) {
    const __m128i levels = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(o.zero_points + place));
    zero = _mm256_add_epi32(zero, _mm256_cvtepi8_epi32(levels));
  }
  const __m256i of_zero = _mm256_mullo_epi32(zero, _mm256_set1_epi32(x_sum));
  const __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(o.scales + place)));
  return _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, of_zero)), total);
}

// Adds the chunks [chunk, end) of one half to the sums of kTokens tokens.
template <int kBits, int kTokens>
inline void add_chunks(const Operands& o, const std::uint8_t* codes, std::int64_t token, std::int64_t chunk,
                       std::int64_t end, __m256i (&sums)[kTokens]) {
  constexpr int kFields = 8 / kBits;
  const __m256i mask = _mm256_set1_epi8((1 << kBits) - 1);
  while (chunk < end) {
    const std::int64_t stop = std::min(end, chunk + kSafe<kBits>);
    __m256i pairs[kTokens] = {};
    for (; chunk < stop; ++chunk) {
      const __m256i bytes = load(codes + chunk * kChunkBytes);
#pragma GCC unroll 4
      for (int field = 0; field < kFields; ++field) {
        const __m256i code = _mm256_and_si256(_mm256_srli_epi16(bytes, kBits * field), mask);
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; ++t) {
          const std::int8_t* x = o.x + (token + t) * o.x_stride + chunk * chunk_columns(kBits) + 4 * field;
          pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(code, broadcast(x)));
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) sums[t] = _mm256_add_epi32(sums[t], widened(pairs[t]));
  }
}

// Codes of 8 bits: level + 128. Gives sums over the levels, which the caller makes sums over the codes.
template <int kTokens>
inline void add_bytes(const Operands& o, const std::uint8_t* codes, std::int64_t token, std::int64_t chunk,
                      std::int64_t end, __m256i (&sums)[kTokens]) {
  const __m256i to_level = _mm256_set1_epi8(static_cast<char>(0x80));
  for (; chunk < end; ++chunk) {
    const __m256i level = _mm256_xor_si256(load(codes + chunk * kChunkBytes), to_level);
    const __m256i magnitude = _mm256_abs_epi8(level);
    for (int t = 0; t < kTokens; ++t) {
      const __m256i x = broadcast(o.x + (token + t) * o.x_stride + chunk * chunk_columns(8));
      sums[t] = _mm256_add_epi32(sums[t], widened(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, level))));
    }
  }
}

template <int kBits, int kTokens>
void tile(const Operands& o, std::int64_t block, std::int64_t token) {
  const std::uint8_t* codes = o.codes + block * o.chunks * kChunkBytes;
  __m256 totals[kHalves][kTokens] = {};
  for (std::int64_t group = 0; group < o.groups; ++group) {
    for (int half = 0; half < kHalves; ++half) {
      __m256i sums[kTokens] = {};
      const std::int64_t first = group * o.chunks_per_group, end = o.group_end(group);
      if constexpr (kBits == 8) {
        add_bytes<kTokens>(o, codes + 32 * half, token, first, end, sums);
      } else {
        add_chunks<kBits, kTokens>(o, codes + 32 * half, token, first, end, sums);
      }
      const std::int64_t place = (block * o.groups + group) * kBlockRows + 8 * half;
      for (int t = 0; t < kTokens; ++t) {
        const std::int32_t x_sum = o.x_sums[(token + t) * o.groups + group];
        if constexpr (kBits == 8) sums[t] = _mm256_add_epi32(sums[t], _mm256_set1_epi32(128 * x_sum));
        totals[half][t] = add_group(o, place, x_sum, sums[t], totals[half][t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    const __m256 scale = _mm256_set1_ps(o.x_scales[token + t]);
    float* y = o.y + (token + t) * o.y_stride + block * kBlockRows;
    for (int half = 0; half < kHalves; ++half) _mm256_storeu_ps(y + 8 * half, _mm256_mul_ps(totals[half][t], scale));
  }
}

// One token: both halves of a chunk at once, so that the bytes are one stream.
template <int kBits>
void one_token(const Operands& o, std::int64_t block) {
  constexpr int kFields = 8 / kBits;
  const __m256i mask = _mm256_set1_epi8((1 << kBits) - 1);
  const std::uint8_t* codes = o.codes + block * o.chunks * kChunkBytes;
  __m256 totals[kHalves] = {};
  for (std::int64_t group = 0; group < o.groups; ++group) {
    __m256i sums[kHalves] = {};
    const std::int64_t end = o.group_end(group);
    for (std::int64_t chunk = group * o.chunks_per_group; chunk < end;) {
      const std::int64_t stop = std::min(end, chunk + kSafe<kBits>);
      __m256i pairs[kHalves] = {};
      for (; chunk < stop; ++chunk) {
        const std::uint8_t* place = codes + chunk * kChunkBytes;
        _mm_prefetch(reinterpret_cast<const char*>(place + kAhead), _MM_HINT_T0);
        const __m256i bytes[kHalves] = {load(place), load(place + 32)};
#pragma GCC unroll 4
        for (int field = 0; field < kFields; ++field) {
          const __m256i x = broadcast(o.x + chunk * chunk_columns(kBits) + 4 * field);
          for (int half = 0; half < kHalves; ++half) {
            const __m256i code = _mm256_and_si256(_mm256_srli_epi16(bytes[half], kBits * field), mask);
            pairs[half] = _mm256_add_epi16(pairs[half], _mm256_maddubs_epi16(code, x));
          }
        }
      }
      for (int half = 0; half < kHalves; ++half) sums[half] = _mm256_add_epi32(sums[half], widened(pairs[half]));
    }
    const std::int64_t place = (block * o.groups + group) * kBlockRows;
    for (int half = 0; half < kHalves; ++half) {
      totals[half] = add_group(o, place + 8 * half, o.x_sums[group], sums[half], totals[half]);
    }
  }
  const __m256 scale = _mm256_set1_ps(o.x_scales[0]);
  for (int half = 0; half < kHalves; ++half) {
    _mm256_storeu_ps(o.y + block * kBlockRows + 8 * half, _mm256_mul_ps(totals[half], scale));
  }
}

template <int kBits>
void multiply_blocks(const Operands& o, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; ++block) {
    std::int64_t token = 0;
    if constexpr (kBits != 8) {
      if (o.tokens == 1) {
        one_token<kBits>(o, block);
        continue;
      }
    }
    for (; token + 4 <= o.tokens; token += 4) tile<kBits, 4>(o, block, token);
    for (; token < o.tokens; ++token) tile<kBits, 1>(o, block, token);
  }
}

}  // namespace

Kernel avx2_kernel(int bits) {
  return bits == 2 ? multiply_blocks<2> : bits == 4 ? multiply_blocks<4> : multiply_blocks<8>;
}

}  // namespace tercet::kernels
#pragma GCC pop_options

#else

namespace tercet::kernels {
Kernel avx2_kernel(int) {
  return nullptr;
}
}  // namespace tercet::kernels

#endif
