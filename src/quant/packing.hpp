// Levels to codes in bytes and back, as CodeLayout describes.
#pragma once

#include <ATen/core/Tensor.h>

#include "tercet/quant/number_format.hpp"

namespace tercet::quant {

// `levels` is int8 [rows, columns] on the host; the result is of the layout's type, [rows, row_bytes(columns)].
at::Tensor pack_rows(const at::Tensor& levels, const CodeLayout& layout);
// int8 [rows, columns]. Codes that stand for no level come back as what they are, less `zero`.
at::Tensor unpack_rows(const at::Tensor& codes, const CodeLayout& layout, std::int64_t columns);

}  // namespace tercet::quant
