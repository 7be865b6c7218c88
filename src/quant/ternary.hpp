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

// pack(quantize(weight)) of the rule absmean in one pass over the weight (two of a matrix with one scale): trits go
// into their bytes as they are found. `weight` is on the host, and packs_at_once() says for which it is.
bool packs_at_once(const FormatSpec& spec, const Calibration& calibration);
StoredTensor pack_absmean(const at::Tensor& weight, const FormatSpec& spec);

// The mean of `count` magnitudes that sum up to `sum`, as the rule takes it.
float mean_magnitude(double sum, std::int64_t count);

// Levels and scales by whole-tensor expressions on the weight's device.
QuantizedMatrix ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                         const Calibration& calibration);

// Whichever is best for a weight that is not on the host.
QuantizedMatrix ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration);
void fake_ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                              at::Tensor out);

// The thresholds of the calibrated rule (calibrate_format).
at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square);

}  // namespace tercet::quant
