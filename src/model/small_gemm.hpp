// C (+)= A B for matrices that fit a core's cache, in fp32, written with vector types of `Lanes` floats. To be inlined
// into functions that are compiled for an instruction set with such registers.
#pragma once

#include <cstdint>

#include "model/simd.hpp"

namespace tercet::simd {

template <int Lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(Lanes * 4), aligned(4), may_alias));
};

// A(m, k) = a[m * row + k * column]: either orientation, since its elements are broadcast one by one.
struct Strided {
  const float* data;
  std::int64_t row, column;
};

// One tile of Rows x 2 Lanes: 6 rows fill the registers (12 sums, 2 of B, 1 of A of 16).
template <int Lanes, int Rows, bool Add>
TERCET_INLINE void gemm_tile(std::int64_t depth, const Strided& a, const float* b, std::int64_t ldb, float* c,
                             std::int64_t ldc) {
  using V = typename VectorOf<Lanes>::Type;
  V sum[Rows][2];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
    sum[r][0] = Add ? *reinterpret_cast<const V*>(c + r * ldc) : V{};
    sum[r][1] = Add ? *reinterpret_cast<const V*>(c + r * ldc + Lanes) : V{};
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const V left = *reinterpret_cast<const V*>(b + k * ldb), right = *reinterpret_cast<const V*>(b + k * ldb + Lanes);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const float x = a.data[r * a.row + k * a.column];
      sum[r][0] += x * left;
      sum[r][1] += x * right;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
    *reinterpret_cast<V*>(c + r * ldc) = sum[r][0];
    *reinterpret_cast<V*>(c + r * ldc + Lanes) = sum[r][1];
  }
}

// columns is a multiple of 2 Lanes; b [depth, columns] and c [rows, columns] have leading dimensions ldb and ldc.
template <int Lanes, bool Add>
TERCET_INLINE void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, const Strided& a, const float* b,
                        std::int64_t ldb, float* c, std::int64_t ldc) {
  for (std::int64_t n = 0; n < columns; n += 2 * Lanes) {
    std::int64_t m = 0;
    for (; m + 6 <= rows; m += 6) {
      gemm_tile<Lanes, 6, Add>(depth, {a.data + m * a.row, a.row, a.column}, b + n, ldb, c + m * ldc + n, ldc);
    }
    for (; m + 2 <= rows; m += 2) {
      gemm_tile<Lanes, 2, Add>(depth, {a.data + m * a.row, a.row, a.column}, b + n, ldb, c + m * ldc + n, ldc);
    }
    for (; m < rows; ++m) {
      gemm_tile<Lanes, 1, Add>(depth, {a.data + m * a.row, a.row, a.column}, b + n, ldb, c + m * ldc + n, ldc);
    }
  }
}

}  // namespace tercet::simd
