// Fake quantization of activations: what an int8 kernel would see, with a straight-through gradient.
#pragma once

#include <ATen/core/Tensor.h>

namespace tercet {

// Per row (token): clamp(round_half_even(x * 127 / m), -128, 127) * m / 127 with m = max(max|x|, 1e-5), in fp32 (BitNet
// b1.58, Ma et al. 2024). Result in `type`; the gradient is the identity (Bengio et al. 2013).
at::Tensor fake_quantize_rows(const at::Tensor& x, at::ScalarType type);
at::Tensor fake_quantize_rows_reference(const at::Tensor& x, at::ScalarType type);  // plain ATen; no gradient

}  // namespace tercet
