// How kernels.safetensors holds the parts of a PackedMatrix: by name, and tables of 16 filled up to whole 64 bytes.
#pragma once

#include <ATen/ops/constant_pad_nd.h>

#include <string>

#include "tercet/base/error.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

inline constexpr const char* kLayoutKey = "kernel_layout";  // in the metadata: kPartsVersion
inline constexpr const char* kMadeOfKey = "packed_sha256";  // of the packed file
inline constexpr const char* kCodesEnding = ".codes";
inline constexpr const char* kScalesEnding = ".scales";
inline constexpr const char* kZeroPointsEnding = ".zero_points";

// Rows of a [blocks, groups, 16] table in the file.
inline std::int64_t filled_rows(const at::Tensor& table) {
  const std::int64_t in_line = kPartAlignment / (16 * table.element_size());
  return (table.size(0) * table.size(1) + in_line - 1) / in_line * in_line;
}

// [blocks, groups, 16] as [filled rows, 16], what is added being zero; and back, undefined where there is none.
inline at::Tensor with_fill(const at::Tensor& table) {
  return at::constant_pad_nd(table.flatten(0, 1), {0, 0, 0, filled_rows(table) - table.size(0) * table.size(1)});
}
inline at::Tensor without_fill(const at::Tensor& table, at::IntArrayRef shape) {
  if (!table.defined()) return {};
  if (table.dim() != 2 || table.size(1) != shape[2] || table.size(0) < shape[0] * shape[1])
    throw DataError("its scales or zero points are too few for its shape");
  return table.narrow(0, 0, shape[0] * shape[1]).view(shape);
}

}  // namespace tercet
