// The kernels as the formula says it, for any processor and as the reference of the others.
#include <c10/util/Half.h>

#include <cmath>

#include "kernels/kernels.hpp"

namespace tercet::kernels {
namespace {

template <int kBits>
std::int32_t sum_of_row(const Operands& o, const std::uint8_t* chunk, const std::int8_t* x, std::int64_t row) {
  constexpr int kFields = 8 / kBits;
  constexpr unsigned kMask = (1u << kBits) - 1;
  std::int32_t sum = 0;
  for (int field = 0; field < kFields; ++field) {
    for (int j = 0; j < 4; ++j) {
      const auto code = static_cast<std::int32_t>(chunk[4 * row + j] >> (kBits * field) & kMask);
      sum += code * x[4 * field + j];
    }
  }
  return sum;
}

template <int kBits>
float value_of(const Operands& o, std::int64_t block, std::int64_t row, std::int64_t token) {
  const std::uint8_t* codes = o.codes + block * o.chunks * kChunkBytes;
  const std::int8_t* x = o.x + token * o.x_stride;
  float total = 0;
  for (std::int64_t group = 0; group < o.groups; ++group) {
    std::int32_t sum = 0;
    for (std::int64_t chunk = group * o.chunks_per_group; chunk < o.group_end(group); ++chunk) {
      sum += sum_of_row<kBits>(o, codes + chunk * kChunkBytes, x + chunk * chunk_columns(kBits), row);
    }
    const std::int64_t place = (block * o.groups + group) * kBlockRows + row;
    const std::int32_t zero = o.zero + (o.zero_points == nullptr ? 0 : o.zero_points[place]);
    sum -= zero * o.x_sums[token * o.groups + group];
    const float scale = c10::Half(o.scales[place], c10::Half::from_bits());
    total = std::fma(scale, static_cast<float>(sum), total);
  }
  return total * o.x_scales[token];
}

template <int kBits>
void multiply_blocks(const Operands& o, std::int64_t begin, std::int64_t end) {
  for (std::int64_t block = begin; block < end; ++block) {
    for (std::int64_t token = 0; token < o.tokens; ++token) {
      float* y = o.y + token * o.y_stride + block * kBlockRows;
      for (std::int64_t row = 0; row < kBlockRows; ++row) y[row] = value_of<kBits>(o, block, row, token);
    }
  }
}

}  // namespace

Kernel portable_kernel(int bits) {
  return bits == 2 ? multiply_blocks<2> : bits == 4 ? multiply_blocks<4> : multiply_blocks<8>;
}

}  // namespace tercet::kernels
