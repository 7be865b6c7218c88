// What the kernels of one instruction set are given, and where they are found.
#pragma once

#include <cstdint>

namespace tercet::kernels {

inline constexpr std::int64_t kBlockRows = 16;   // rows that share a stream of bytes
inline constexpr std::int64_t kChunkBytes = 64;  // of all rows of a block
inline constexpr std::int64_t kPadding = 16;     // widths are filled up to a multiple of it
inline constexpr float kSmallestAbsmax =
    1e-5f;  // as in Decoder's simulation: an all-zero token must not divide by zero

constexpr std::int64_t chunk_columns(int bits) {
  return 32 / bits;
}

struct Operands {
  const std::uint8_t* codes = nullptr;       // [blocks, chunks, 64]
  const std::uint16_t* scales = nullptr;     // fp16 [blocks, groups, 16]
  const std::int8_t* zero_points = nullptr;  // [blocks, groups, 16]; null: none
  std::int64_t chunks = 0, groups = 0, chunks_per_group = 0;
  int bits = 2, zero = 1;

  const std::int8_t* x = nullptr;        // [tokens, x_stride]
  const float* x_scales = nullptr;       // [tokens]
  const std::int32_t* x_sums = nullptr;  // [tokens, groups]: of the values of each group
  std::int64_t tokens = 0, x_stride = 0;

  float* y = nullptr;  // [tokens, rows filled up to whole blocks]
  std::int64_t y_stride = 0;

  std::int64_t group_end(std::int64_t group) const {
    const std::int64_t end = (group + 1) * chunks_per_group;
    return end < chunks ? end : chunks;
  }
};

// Writes y for the blocks [begin, end) of rows and all tokens.
using Kernel = void (*)(const Operands& operands, std::int64_t begin, std::int64_t end);
Kernel portable_kernel(int bits);
Kernel avx2_kernel(int bits);    // null where the compiler has no AVX2
Kernel avx512_kernel(int bits);  // null where the compiler has no AVX-512 VNNI

}  // namespace tercet::kernels
