// The ternary rule on a GPU. All pointers are device memory; work is queued on `stream`, nothing waits.
#pragma once

#include <cstdint>

namespace tercet::quant {

// As the arguments of ternarize_on_host: null stands for the same, and each scale block is a run of one row.
struct DeviceTernary {
  const float* weight = nullptr;  // [rows, columns]
  std::int64_t rows = 0, columns = 0;
  std::int64_t block_columns = 0, blocks_per_row = 0;  // the last block of a row may be shorter
  const float* thresholds = nullptr;                   // [rows, blocks_per_row], as the next but one
  const float* column_weight = nullptr;                // [columns]
  const float* scale_factors = nullptr;
  bool absmean = false;             // scale: the mean magnitude, not the least-squares one
  float* out = nullptr;             // [rows, columns]: scale * trit
  std::int8_t* trits = nullptr;     // [rows, columns]
  std::uint16_t* scales = nullptr;  // fp16 [rows, blocks_per_row]
};
void ternarize_on_device(const DeviceTernary& work, void* stream);

}  // namespace tercet::quant
