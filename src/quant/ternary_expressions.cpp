// The ternary rule as whole-tensor ATen expressions, for tensors on a device.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "quant/scale_blocks.hpp"
#include "quant/ternary.hpp"
#include "quant/ternary_constants.hpp"

namespace tercet::quant {

QuantizedMatrix ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                         const Calibration& calibration) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const at::Tensor blocks = to_blocks(weight.detach().to(at::kFloat), spec);
  const at::Tensor magnitude = blocks.abs();
  const at::Tensor present = to_blocks(at::ones_like(weight, at::kFloat), spec);
  const at::Tensor mean = (magnitude.to(at::kDouble).sum(1, true) / present.sum(1, true, at::kDouble))
                              .to(at::kFloat)
                              .clamp_min(kSmallestMean);
  const bool calibrated = spec.rule == ScaleRule::kCalibrated;
  const at::Tensor threshold = calibrated && calibration.thresholds.defined()
                                   ? calibration.thresholds.to(weight.device()).reshape({-1, 1})
                                   : at::zeros_like(mean) + kDefaultThreshold;
  const at::Tensor trits = at::where(magnitude / mean > threshold, blocks.sign(), at::zeros_like(blocks));
  at::Tensor scale = mean;
  if (spec.rule != ScaleRule::kAbsmean) {
    at::Tensor kept = trits.abs();
    if (calibrated && calibration.mean_square.defined()) {
      kept = kept * to_blocks(calibration.mean_square.to(weight.device()).expand({rows, columns}), spec);
    }
    const at::Tensor total = kept.sum(1, true, at::kDouble);
    const at::Tensor best = ((kept * magnitude).sum(1, true, at::kDouble) / total).to(at::kFloat);
    scale = at::where(total > 0, best, mean);
    if (calibrated && calibration.scale_factors.defined()) {
      scale = scale * calibration.scale_factors.to(weight.device()).reshape({-1, 1});
    }
  }
  return {from_blocks(trits, rows, columns).to(at::kChar),
          scale.to(at::kHalf).reshape(scale_shape(rows, columns, spec)),
          {}};
}

}  // namespace tercet::quant
