// A matrix cut into scale blocks: walked on the host, or as rows of a padded tensor on any device.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "tercet/quant/format.hpp"

namespace tercet::quant {

// `block_rows` rows by at most `width` columns each.
struct ScaleBlocks {
  ScaleBlocks(std::int64_t row_count, std::int64_t column_count, const FormatSpec& spec)
      : rows(row_count),
        columns(column_count),
        width(spec.granularity == Granularity::kGroup ? spec.group_size : column_count),
        block_rows(spec.granularity == Granularity::kTensor ? row_count : 1),
        per_row(blocks_per_row(column_count, spec)) {}

  std::int64_t count() const { return rows / block_rows * per_row; }

  // Calls visit(offset of the run, first column, length) for each row's run of the block.
  template <typename Visit>
  void for_each_run(std::int64_t block, Visit visit) const {
    const std::int64_t column = block % per_row * width;
    const std::int64_t length = std::min(width, columns - column);
    const std::int64_t first_row = block / per_row * block_rows;
    for (std::int64_t row = first_row; row < first_row + block_rows; ++row)
      visit(row * columns + column, column, length);
  }

  // Whether block k is the `width` weights from k * width on.
  bool in_sequence() const { return block_rows == 1 && columns % width == 0; }

  // In parallel.
  template <typename Body>
  void for_each_block(Body body) const {
    for_each_few<1>([&](std::int64_t block, std::int64_t) { body(block); });
  }

  // In parallel: body(first block, how many, at most `Most`).
  template <std::int64_t Most, typename Body>
  void for_each_few(Body body) const {
    const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, width));
    at::parallel_for(0, count(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin; first < end; first += Most) body(first, std::min(Most, end - first));
    });
  }

  std::int64_t rows, columns, width, block_rows, per_row;
};

// [out, in] -> [blocks, width], one row per scale, zero-padded where the last group of a matrix row is short; and back.
at::Tensor to_blocks(const at::Tensor& matrix, const FormatSpec& spec);
at::Tensor from_blocks(const at::Tensor& blocks, std::int64_t rows, std::int64_t columns);

// float32, contiguous, on the host: a view where it already is.
at::Tensor host_float(const at::Tensor& tensor);
// Whether own loops can walk it as it is: float32, contiguous, on the host.
bool on_host(const at::Tensor& tensor);

// Scales as they are stored: above fp16's smallest normal number, so that a block of zeros has one.
inline constexpr float kSmallestScale = 6.2e-5f;

}  // namespace tercet::quant
