#include "quant/pin.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "quant/scale_blocks.hpp"

namespace tercet::quant {
namespace {

constexpr double kMargin =
    1e-3;  // of a step; far above the rounding of sums in fp32, which differs between host and device

// A value per block for each element.
at::Tensor spread(const at::Tensor& per_block, const at::Tensor& like, const FormatSpec& spec) {
  const at::Tensor blocks = to_blocks(at::ones_like(like, at::kFloat), spec);
  return from_blocks(blocks * per_block.to(at::kFloat).reshape({-1, 1}), like.size(0), like.size(1));
}

}  // namespace

at::Tensor move_into_cells(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                           LevelRange range) {
  const at::Tensor scale = spread(wanted.scales, reference, spec);
  at::Tensor center = wanted.levels.to(at::kFloat);
  if (wanted.zero_points.defined()) center = center - spread(wanted.zero_points, reference, spec);
  // In steps; a negative scale has been divided out, so that levels grow with the value.
  const at::Tensor steps = reference.to(at::kFloat) / scale;
  const at::Tensor below =
      at::where(wanted.levels.eq(range.lowest), center.new_full({}, -INFINITY), center - (0.5 - kMargin / 2));
  const at::Tensor above =
      at::where(wanted.levels.eq(range.highest), center.new_full({}, INFINITY), center + (0.5 - kMargin / 2));
  const at::Tensor moved = at::minimum(at::maximum(steps, below), above);
  return at::where(moved.eq(steps), reference.to(at::kFloat), moved * scale);
}

PinnedMatrix pin_by_scales(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                           LevelRange range) {
  PinnedMatrix pinned;
  pinned.masters = move_into_cells(reference, wanted, spec, range);
  pinned.calibration.scales = wanted.scales.to(at::kFloat).contiguous();
  pinned.calibration.zero_points = wanted.zero_points;
  return pinned;
}

PinnedMatrix pin_by_factors(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                            const at::Tensor& mean_square) {
  PinnedMatrix pinned;
  pinned.masters = move_into_cells(reference, wanted, spec, {-1, 1});
  const std::vector<std::int64_t> shape = wanted.scales.sizes().vec();
  const at::Tensor scale = wanted.scales.to(at::kDouble).reshape({-1, 1});
  const at::Tensor magnitude = to_blocks(pinned.masters.to(at::kDouble).abs(), spec);
  const at::Tensor kept = to_blocks(wanted.levels.to(at::kDouble).abs(), spec);
  const at::Tensor present = to_blocks(at::ones_like(pinned.masters, at::kDouble), spec);
  const at::Tensor mean =
      (magnitude.sum(1, true) / present.sum(1, true)).to(at::kFloat).clamp_min(1e-5).to(at::kDouble);
  at::Tensor weight = kept;
  if (mean_square.defined()) {
    weight = kept * to_blocks(mean_square.to(at::kDouble).expand(pinned.masters.sizes()), spec);
  }
  const at::Tensor total = weight.sum(1, true);
  const at::Tensor rule_scale = at::where(total > 0, (weight * magnitude).sum(1, true) / total, mean);
  pinned.calibration.thresholds = (scale * 0.5 / mean).to(at::kFloat).reshape(shape).contiguous();
  pinned.calibration.scale_factors = (scale / rule_scale).to(at::kFloat).reshape(shape).contiguous();
  if (mean_square.defined()) pinned.calibration.mean_square = mean_square.to(at::kFloat).contiguous();
  return pinned;
}

}  // namespace tercet::quant
