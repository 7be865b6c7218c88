// GGUF's types for levels on a grid: blocks of consecutive elements of a row, each with one fp16 scale d.
//
//   type    elements  bytes  value        levels
//   TQ1_0   256       54     t d          -1, 0, 1 at five to a byte
//   TQ2_0   256       66     t d          -1, 0, 1 at 2 bits
//   Q2_0    64        18     (c - 1) d    -1 to 2; int2 goes there mirrored
//   Q4_0    32        18     (c - 8) d    -8 to 7
//   Q8_0    32        34     c d          -128 to 127
//
// Layouts: ggml-common.h and ggml-quants.c of ggml; docs/exports.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tercet/quant/format.hpp"

namespace tercet {

struct BlockType {
  const char* name;
  std::uint32_t id;         // ggml's number
  std::uint32_t file_type;  // general.file_type of a file that is mostly of this type
  std::int64_t values, bytes;
  int lowest, highest;                                             // levels
  bool scale_first;                                                // d stands before the codes, else behind them
  void (*encode)(const std::int8_t* levels, std::uint8_t* codes);  // of one block
};

extern const BlockType kTq1_0, kTq2_0, kQ2_0, kQ4_0, kQ8_0;

// Why `stored` (its spec and shape) does not go into this type as it is; "" when it does. Each block must lie under one
// scale, and each level, perhaps mirrored, must be one of the type's.
std::string misfit(const StoredTensor& stored, const BlockType& type);
// Bytes of a tensor that fits.
std::uint64_t block_bytes(const std::vector<std::int64_t>& shape, const BlockType& type);
// uint8 [out, bytes of a row]. Row i of the result is row row_order[i] of `stored`; empty: as they are.
at::Tensor encode_blocks(const StoredTensor& stored, const BlockType& type, const std::vector<std::int64_t>& row_order);

}  // namespace tercet
