// The ternary rule as whole-tensor ATen expressions, for tensors on a device.
#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "ternary.hpp"

namespace tercet::quant {

at::Tensor to_blocks(const at::Tensor& matrix, const FormatSpec& spec) {
  if (spec.granularity == Granularity::kTensor) return matrix.reshape({1, -1});
  if (spec.granularity == Granularity::kChannel) return matrix;
  const std::int64_t padding = blocks_per_row(matrix.size(1), spec) * spec.group_size - matrix.size(1);
  return at::constant_pad_nd(matrix, {0, padding}).reshape({-1, spec.group_size});
}

at::Tensor from_blocks(const at::Tensor& blocks, std::int64_t rows, std::int64_t columns) {
  return blocks.reshape({rows, -1}).slice(1, 0, columns).contiguous();
}

at::Tensor host_float(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kFloat).contiguous();
}

TernaryTensor ternarize_by_expressions(const at::Tensor& weight, const FormatSpec& spec,
                                       const TernaryCalibration& calibration) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const at::Tensor blocks = to_blocks(weight.detach().to(at::kFloat), spec);
  const at::Tensor magnitude = blocks.abs();
  const at::Tensor present = to_blocks(at::ones_like(weight, at::kFloat), spec);
  const at::Tensor mean =
      (magnitude.to(at::kDouble).sum(1, true) / present.sum(1, true, at::kDouble)).to(at::kFloat).clamp_min(1e-5);
  const bool calibrated = spec.rule == TernaryRule::kCalibrated;
  const at::Tensor threshold = calibrated && calibration.thresholds.defined()
                                   ? calibration.thresholds.to(weight.device()).reshape({-1, 1})
                                   : at::zeros_like(mean) + 0.5;
  const at::Tensor trits = at::where(magnitude / mean > threshold, blocks.sign(), at::zeros_like(blocks));
  at::Tensor scale = mean;
  if (spec.rule != TernaryRule::kAbsmean) {
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
          scale.to(at::kHalf).reshape(scale_shape(rows, columns, spec))};
}

at::Tensor scale_trits(const at::Tensor& trits, const at::Tensor& scales, const FormatSpec& spec) {
  const at::Tensor blocks = to_blocks(trits.to(at::kFloat), spec);
  return from_blocks(blocks * scales.to(at::kFloat).reshape({-1, 1}), trits.size(0), trits.size(1));
}

}  // namespace tercet::quant
