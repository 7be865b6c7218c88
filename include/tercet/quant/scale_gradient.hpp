// What training the scales of a matrix with fixed levels needs.
#pragma once

#include <ATen/core/Tensor.h>

#include "tercet/quant/format.hpp"

namespace tercet {

// The gradient at the scales (float32, scale_shape) when that at the values is `gradient` [out, in]: over each scale
// block the sum of gradient x (level - zero point). Rounding to fp16 is passed straight through. `levels.scales` is not
// read.
at::Tensor scale_gradient(const at::Tensor& gradient, const QuantizedMatrix& levels, const FormatSpec& spec);

}  // namespace tercet
