// Values to stored form and back, whatever the format.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>

#include <cmath>
#include <vector>

#include "quant/packing.hpp"
#include "quant/scale_blocks.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

void check(const at::Tensor& weight, const FormatSpec& spec) {
  check_storable(weight.sizes().vec(), spec);
}

at::Tensor zero_levels(const StoredTensor& stored) {
  if (!stored.zero_points.defined()) return {};
  return (stored.zero_points.to(at::kShort) - stored.spec.format->layout().zero).to(at::kChar);
}

}  // namespace

QuantizedMatrix quantize(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration) {
  check(weight, spec);
  return spec.format->quantize(weight, spec, calibration);
}

at::Tensor storage_scales(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration) {
  check(value, spec);
  return spec.format->scales(value, spec, calibration);
}

void fake_quantize(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration, at::Tensor out) {
  check(value, spec);
  spec.format->fake_quantize(value, spec, calibration, std::move(out));
}

Calibration calibrate_format(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square) {
  if (!spec.format->is_grid() || spec.rule != ScaleRule::kCalibrated) return {};
  check(weight, spec);
  return spec.format->calibrate(weight, spec, mean_square);
}

PinnedMatrix pin(const at::Tensor& reference, const QuantizedMatrix& wanted, const FormatSpec& spec,
                 const at::Tensor& mean_square) {
  check(reference, spec);
  PinnedMatrix pinned = spec.format->pin(reference, wanted, spec, mean_square);
  const QuantizedMatrix made = quantize(pinned.masters, spec, pinned.calibration);
  const bool same_zeros = !wanted.zero_points.defined() || at::equal(made.zero_points, wanted.zero_points);
  if (!at::equal(made.levels, wanted.levels) || !at::equal(made.scales, wanted.scales) || !same_zeros) {
    throw NumericError("no masters stand for the solved levels and scales", "a scale is out of fp16's range");
  }
  return pinned;
}

StoredTensor pack(const QuantizedMatrix& matrix, const FormatSpec& spec) {
  check(matrix.levels, spec);
  const CodeLayout layout = spec.format->layout();
  StoredTensor stored{spec,
                      matrix.levels.sizes().vec(),
                      quant::pack_rows(matrix.levels.to(at::kCPU).contiguous(), layout),
                      matrix.scales.to(at::kCPU, at::kHalf).contiguous(),
                      {}};
  if (matrix.zero_points.defined()) {
    stored.zero_points = (matrix.zero_points.to(at::kCPU, at::kShort) + layout.zero).to(layout.type).contiguous();
  }
  return stored;
}

StoredTensor store(const at::Tensor& value, const FormatSpec& spec, const Calibration& calibration) {
  heartbeat::beat();
  check(value, spec);
  if (spec.format->is_grid()) return spec.format->store(value, spec, calibration);
  const at::Tensor half = value.detach().to(at::kCPU, at::kHalf).contiguous();
  return {spec, half.sizes().vec(), half, {}, {}};
}

StoredTensor unfilled(const std::vector<std::int64_t>& shape, const FormatSpec& spec) {
  const auto empty = [](const std::vector<std::int64_t>& sizes, at::ScalarType type) {
    return at::empty(sizes, at::TensorOptions(type).device(at::kMeta));
  };
  check_storable(shape, spec);
  const CodeLayout layout = spec.format->layout();
  if (!spec.format->is_grid()) return {spec, shape, empty(shape, layout.type), {}, {}};
  const std::int64_t rows = shape[0], columns = shape[1];
  StoredTensor stored{spec, shape, empty({rows, layout.row_bytes(columns)}, layout.type), {}, {}};
  stored.scales = empty(scale_shape(rows, columns, spec), at::kHalf);
  if (!spec.symmetric) stored.zero_points = empty(scale_shape(rows, columns, spec), layout.type);
  return stored;
}

at::Tensor unpack_levels(const StoredTensor& stored) {
  check_storable(stored.shape, stored.spec);
  return quant::unpack_rows(stored.codes, stored.spec.format->layout(), stored.shape[1]);
}

at::Tensor dequantize(const QuantizedMatrix& matrix, const FormatSpec& spec) {
  at::Tensor blocks = quant::to_blocks(matrix.levels.to(at::kFloat), spec);
  if (matrix.zero_points.defined()) blocks = blocks - matrix.zero_points.to(at::kFloat).reshape({-1, 1});
  const at::Tensor values = blocks * matrix.scales.to(at::kFloat).reshape({-1, 1});
  return quant::from_blocks(values.to(at::kHalf).to(at::kFloat), matrix.levels.size(0), matrix.levels.size(1));
}

at::Tensor dequantize(const StoredTensor& stored) {
  heartbeat::beat();
  if (!stored.spec.format->is_grid()) return stored.codes.to(at::kFloat);
  return dequantize({unpack_levels(stored), stored.scales, zero_levels(stored)}, stored.spec);
}

ErrorMeasures measure_error(const at::Tensor& weight, const at::Tensor& dequantized, const at::Tensor& mean_square) {
  const at::Tensor reference = weight.detach().to(at::kDouble);
  const at::Tensor difference = reference - dequantized.detach().to(weight.device(), at::kDouble);
  const auto ratio = [](const at::Tensor& error, const at::Tensor& whole) {
    const double total = whole.sum().item<double>();
    return total > 0 ? std::sqrt(error.sum().item<double>() / total) : 0.0;
  };
  ErrorMeasures measures;
  measures.relative = ratio(difference.square(), reference.square());
  measures.weighted_relative = measures.relative;
  if (mean_square.defined()) {
    const at::Tensor h = mean_square.to(weight.device(), at::kDouble);
    measures.weighted_relative = ratio(difference.square() * h, reference.square() * h);
  }
  measures.sparsity = dequantized.eq(0).to(at::kDouble).mean().item<double>();
  return measures;
}

}  // namespace tercet
