// The ternary rule, on the host by own loops and elsewhere by ATen expressions (also the test's reference).
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Half.h>

#include "tercet/quant/format.hpp"

namespace tercet::quant {

// Any of out [out, in], trits [out, in], scales (scale_shape) may be null. `weight` is on_host().
void ternarize_on_host(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration, float* out,
                       std::int8_t* trits, c10::Half* scales);

// The same by whole-tensor expressions on the weight's device.
QuantizedMatrix ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                         const Calibration& calibration);

// The thresholds of the calibrated rule (calibrate_format).
at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square);

}  // namespace tercet::quant
