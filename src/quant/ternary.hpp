// The ternary rule, on the host by own loops and elsewhere by ATen expressions (also the test's reference).
#pragma once

#include <ATen/core/Tensor.h>

#include "tercet/quant/format.hpp"

namespace tercet::quant {

// float32, contiguous, on the host: a view where it already is.
at::Tensor host_float(const at::Tensor& tensor);

// Any of out [out, in], trits [out, in], scales (scale_shape) may be null. `weight` is a host float32 matrix.
void ternarize_on_host(const at::Tensor& weight, const FormatSpec& spec, const TernaryCalibration& calibration,
                       float* out, std::int8_t* trits, c10::Half* scales);

// The same by whole-tensor expressions on the weight's device.
TernaryTensor ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                       const TernaryCalibration& calibration);
// trits * scales, float32 [out, in].
at::Tensor scale_trits(const at::Tensor& trits, const at::Tensor& scales, const FormatSpec& spec);

}  // namespace tercet::quant
