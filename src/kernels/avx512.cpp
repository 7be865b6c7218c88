// AVX-512 with VNNI: vpdpbusd multiplies four codes of each of 16 rows with four values of a token and adds them up in
// int32, without saturation.
//
// One token: the fields of a byte are masked, not shifted, and summed apart; a sum of field f is a multiple of 2^(bits
// f), so shifting it down once per group is exact. Several tokens: fields are shifted down once and used for every
// token, which leaves one sum for each token and block of rows.
#include "kernels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of GCC's own headers: _mm512_undefined_*
#include <immintrin.h>

#include <cstring>

namespace tercet::kernels {
namespace {

constexpr std::int64_t kAhead = 6144;  // bytes of prefetch: the stream is one, but its pages are not

// Four values of a token, as every row needs them.
inline __m512i broadcast(const std::int8_t* x) {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

template <int kBits>
inline __m512i field_mask(int field) {
  return _mm512_set1_epi8(static_cast<char>(((1 << kBits) - 1) << (kBits * field)));
}

// The sum over one group, from the integer sum over its codes.
inline __m512 add_group(const Operands& o, std::int64_t block, std::int64_t group, std::int64_t token, __m512i sum,
                        __m512 total) {
  const std::int64_t place = (block * o.groups + group) * kBlockRows;
  __m512i zero = _mm512_set1_epi32(o.zero);
  if (o.zero_points != nullptr) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(o.zero_points + place));
    zero = _mm512_add_epi32(zero, _mm512_cvtepi8_epi32(levels));
  }
  const __m512i of_zero = _mm512_mullo_epi32(zero, _mm512_set1_epi32(o.x_sums[token * o.groups + group]));
  const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(o.scales + place)));
  return _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, of_zero)), total);
}

template <int kBits>
void one_token(const Operands& o, std::int64_t block) {
  constexpr int kFields = 8 / kBits;
  constexpr std::int64_t kColumns = chunk_columns(kBits);
  const std::uint8_t* codes = o.codes + block * o.chunks * kChunkBytes;
  __m512 total = _mm512_setzero_ps();
  for (std::int64_t group = 0; group < o.groups; ++group) {
    __m512i even[kFields] = {}, odd[kFields] = {};
    std::int64_t chunk = group * o.chunks_per_group;
    const std::int64_t end = o.group_end(group);
    const auto add = [&](__m512i(&sums)[kFields], std::int64_t at) {
      const std::uint8_t* place = codes + at * kChunkBytes;
      _mm_prefetch(reinterpret_cast<const char*>(place + kAhead), _MM_HINT_T0);
      const __m512i bytes = _mm512_loadu_si512(place);
      for (int field = 0; field < kFields; ++field) {
        const __m512i code = kFields == 1 ? bytes : _mm512_and_si512(bytes, field_mask<kBits>(field));
        sums[field] = _mm512_dpbusd_epi32(sums[field], code, broadcast(o.x + at * kColumns + 4 * field));
      }
    };
    for (; chunk + 2 <= end; chunk += 2) {
      add(even, chunk);
      add(odd, chunk + 1);
    }
    if (chunk < end) add(even, chunk);
    __m512i sum = _mm512_setzero_si512();
    for (int field = 0; field < kFields; ++field) {
      const __m512i both = _mm512_add_epi32(even[field], odd[field]);
      sum = _mm512_add_epi32(sum, _mm512_srai_epi32(both, kBits * field));
    }
    total = add_group(o, block, group, 0, sum, total);
  }
  _mm512_storeu_ps(o.y + block * kBlockRows, _mm512_mul_ps(total, _mm512_set1_ps(o.x_scales[0])));
}

// kBlocks blocks of rows with kTokens tokens: each chunk of codes is read and taken apart once.
template <int kBits, int kBlocks, int kTokens>
void tile(const Operands& o, std::int64_t block, std::int64_t token) {
  constexpr int kFields = 8 / kBits;
  constexpr std::int64_t kColumns = chunk_columns(kBits);
  const __m512i mask = field_mask<kBits>(0);
  __m512 totals[kBlocks][kTokens] = {};
  for (std::int64_t group = 0; group < o.groups; ++group) {
    __m512i sums[kBlocks][kTokens] = {};
    for (std::int64_t chunk = group * o.chunks_per_group; chunk < o.group_end(group); ++chunk) {
      __m512i bytes[kBlocks];
      for (int b = 0; b < kBlocks; ++b) {
        bytes[b] = _mm512_loadu_si512(o.codes + ((block + b) * o.chunks + chunk) * kChunkBytes);
      }
#pragma GCC unroll 4
      for (int field = 0; field < kFields; ++field) {
        __m512i code[kBlocks];
        for (int b = 0; b < kBlocks; ++b) {
          code[b] = kFields == 1 ? bytes[b] : _mm512_and_si512(_mm512_srli_epi16(bytes[b], kBits * field), mask);
        }
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
          const __m512i x = broadcast(o.x + (token + t) * o.x_stride + chunk * kColumns + 4 * field);
          for (int b = 0; b < kBlocks; ++b) sums[b][t] = _mm512_dpbusd_epi32(sums[b][t], code[b], x);
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int b = 0; b < kBlocks; ++b) {
        totals[b][t] = add_group(o, block + b, group, token + t, sums[b][t], totals[b][t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    const __m512 scale = _mm512_set1_ps(o.x_scales[token + t]);
    for (int b = 0; b < kBlocks; ++b) {
      _mm512_storeu_ps(o.y + (token + t) * o.y_stride + (block + b) * kBlockRows, _mm512_mul_ps(totals[b][t], scale));
    }
  }
}

template <int kBits, int kBlocks>
void all_tokens(const Operands& o, std::int64_t block) {
  std::int64_t token = 0;
  for (; token + 8 <= o.tokens; token += 8) tile<kBits, kBlocks, 8>(o, block, token);
  if (token + 4 <= o.tokens) {
    tile<kBits, kBlocks, 4>(o, block, token);
    token += 4;
  }
  for (; token < o.tokens; ++token) tile<kBits, kBlocks, 1>(o, block, token);
}

template <int kBits>
void multiply_blocks(const Operands& o, std::int64_t begin, std::int64_t end) {
  std::int64_t block = begin;
  if (o.tokens == 1) {
    for (; block < end; ++block) one_token<kBits>(o, block);
    return;
  }
  for (; block + 2 <= end; block += 2) all_tokens<kBits, 2>(o, block);
  if (block < end) all_tokens<kBits, 1>(o, block);
}

}  // namespace

Kernel avx512_kernel(int bits) {
  return bits == 2 ? multiply_blocks<2> : bits == 4 ? multiply_blocks<4> : multiply_blocks<8>;
}

}  // namespace tercet::kernels
#pragma GCC pop_options

#else

namespace tercet::kernels {
Kernel avx512_kernel(int) {
  return nullptr;
}
}  // namespace tercet::kernels

#endif
