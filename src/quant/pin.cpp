// Masters that the calibrated rule turns into given trits and scales.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include "tercet/base/error.hpp"
#include "ternary.hpp"

namespace tercet {
namespace {

constexpr double kMargin = 1e-3;  // far above the rounding of sums in fp32, which differs between host and device

// The nearest values on the right side of s / 2.
at::Tensor move_into_cells(const at::Tensor& reference, const TernaryTensor& wanted, const FormatSpec& spec) {
  const at::Tensor sign = wanted.trits.to(at::kFloat);
  const at::Tensor limit = quant::scale_trits(at::ones_like(wanted.trits), wanted.scales, spec) * 0.5;
  const at::Tensor inner = limit * (1 - kMargin), outer = limit * (1 + kMargin);
  const at::Tensor value = reference.to(at::kFloat);
  return at::where(wanted.trits.eq(0), at::maximum(at::minimum(value, inner), -inner),
                   sign * at::maximum(sign * value, outer));
}

}  // namespace

PinnedTernary pin_ternary(const at::Tensor& reference, const TernaryTensor& wanted, const FormatSpec& spec,
                          const at::Tensor& mean_square) {
  PinnedTernary pinned;
  pinned.masters = move_into_cells(reference, wanted, spec);
  const std::vector<std::int64_t> shape = wanted.scales.sizes().vec();
  const at::Tensor scale = wanted.scales.to(at::kDouble).reshape({-1, 1});
  const at::Tensor magnitude = quant::to_blocks(pinned.masters.to(at::kDouble).abs(), spec);
  const at::Tensor kept = quant::to_blocks(wanted.trits.to(at::kDouble).abs(), spec);
  const at::Tensor present = quant::to_blocks(at::ones_like(pinned.masters, at::kDouble), spec);
  const at::Tensor mean =
      (magnitude.sum(1, true) / present.sum(1, true)).to(at::kFloat).clamp_min(1e-5).to(at::kDouble);
  at::Tensor weight = kept;
  if (mean_square.defined()) {
    weight = kept * quant::to_blocks(mean_square.to(at::kDouble).expand(pinned.masters.sizes()), spec);
  }
  const at::Tensor total = weight.sum(1, true);
  const at::Tensor rule_scale = at::where(total > 0, (weight * magnitude).sum(1, true) / total, mean);
  pinned.calibration.thresholds = (scale * 0.5 / mean).to(at::kFloat).reshape(shape).contiguous();
  pinned.calibration.scale_factors = (scale / rule_scale).to(at::kFloat).reshape(shape).contiguous();
  if (mean_square.defined()) pinned.calibration.mean_square = mean_square.to(at::kFloat).contiguous();
  const TernaryTensor made = ternarize(pinned.masters, spec, pinned.calibration);
  if (!at::equal(made.trits, wanted.trits) || !at::equal(made.scales, wanted.scales)) {
    throw NumericError("no masters stand for the solved trits and scales", "a scale is out of fp16's range");
  }
  return pinned;
}

}  // namespace tercet
