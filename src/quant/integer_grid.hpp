// Even grids: levels of a range times a scale, around a zero point. Fitted to the extremes of each scale block, or
// fixed by a calibration. On the host by own loops, elsewhere by ATen expressions (also the test's reference).
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Half.h>

#include <cstdint>

#include "tercet/quant/number_format.hpp"

namespace tercet::quant {

// Where results go; null: not asked for.
struct GridOutputs {
  float* values = nullptr;             // [out, in]
  std::int8_t* levels = nullptr;       // [out, in]
  c10::Half* scales = nullptr;         // scale_shape
  std::int8_t* zero_points = nullptr;  // scale_shape
};

// `weight` is on_host(). Fixed scales of the calibration come first, then its scale factors.
void to_grid_on_host(const at::Tensor& weight, const FormatSpec& spec, LevelRange range, const Calibration& calibration,
                     const GridOutputs& outputs);
// The same by whole-tensor expressions on the weight's device.
QuantizedMatrix to_grid_by_expressions(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                                       const Calibration& calibration);
// Either of the two, by where the weight is.
QuantizedMatrix to_grid(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                        const Calibration& calibration);
void fake_quantize_on_grid(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                           const Calibration& calibration, at::Tensor& out);

// The scale factor of least weighted error for each block (calibrate_format).
at::Tensor calibrate_scale_factors(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                                   const at::Tensor& mean_square);

}  // namespace tercet::quant
