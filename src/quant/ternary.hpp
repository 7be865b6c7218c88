// The ternary rule, on the host by own loops and elsewhere by ATen expressions (also the test's reference).
#pragma once

#include <ATen/core/Tensor.h>

#include "tercet/quant/format.hpp"

namespace tercet::quant {

// float32, contiguous, on the host: a view where it already is.
at::Tensor host_float(const at::Tensor& tensor);

// [out, in] -> [blocks, width], one row per scale, zero-padded where the last group of a matrix row is short; and back.
at::Tensor to_blocks(const at::Tensor& matrix, const FormatSpec& spec);
at::Tensor from_blocks(const at::Tensor& blocks, std::int64_t rows, std::int64_t columns);

// Any of out [out, in], trits [out, in], scales (scale_shape) may be null. `weight` is a host float32 matrix.
void ternarize_on_host(const at::Tensor& weight, const FormatSpec& spec, const TernaryCalibration& calibration,
                       float* out, std::int8_t* trits, c10::Half* scales);

// The same by whole-tensor expressions on the weight's device.
TernaryTensor ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                       const TernaryCalibration& calibration);
// trits * scales, float32 [out, in].
at::Tensor scale_trits(const at::Tensor& trits, const at::Tensor& scales, const FormatSpec& spec);

}  // namespace tercet::quant
