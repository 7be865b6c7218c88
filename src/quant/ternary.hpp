// The ternary rule: on the host by own loops, on a GPU by a kernel, and by ATen expressions, which are the test's
// reference too.
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

// Whichever is best for a weight that is not on the host.
QuantizedMatrix ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration);
void fake_ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                              at::Tensor out);

// The thresholds of the calibrated rule (calibrate_format).
at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square);

}  // namespace tercet::quant
