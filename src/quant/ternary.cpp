// The ternary rule on the host: one walk over the scale blocks of a matrix, shared by training and storage.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <limits>

#include "blocks.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/format.hpp"
#include "ternary.hpp"

namespace tercet {
namespace quant {
namespace {

constexpr float kSmallestMean = 1e-5f;
constexpr float kDefaultThreshold = 0.5f;
constexpr std::array<float, 9> kThresholds{0.30f, 0.35f, 0.40f, 0.45f, 0.50f, 0.55f, 0.60f, 0.65f, 0.70f};

float as_stored(double scale) {
  return static_cast<float>(c10::Half(static_cast<float>(scale)));
}

// A matrix cut into scale blocks: `block_rows` rows by at most `width` columns each.
struct Blocks {
  Blocks(std::int64_t row_count, std::int64_t column_count, const FormatSpec& spec)
      : rows(row_count),
        columns(column_count),
        width(spec.granularity == Granularity::kGroup ? spec.group_size : column_count),
        block_rows(spec.granularity == Granularity::kTensor ? row_count : 1),
        per_row(blocks_per_row(column_count, spec)) {}

  std::int64_t count() const { return rows / block_rows * per_row; }
  // Calls visit(offset of the run, first column, length) for each row's run of the block.
  template <typename Visit>
  void for_each_run(std::int64_t block, Visit visit) const {
    const std::int64_t column = block % per_row * width;
    const std::int64_t length = std::min(width, columns - column);
    const std::int64_t first_row = block / per_row * block_rows;
    for (std::int64_t row = first_row; row < first_row + block_rows; ++row)
      visit(row * columns + column, column, length);
  }

  std::int64_t rows, columns, width, block_rows, per_row;
};

struct Inputs {
  const float* weight;
  const float* thresholds;     // null: kDefaultThreshold
  const float* column_weight;  // null: equal
  const float* scale_factors;  // null: 1
};

struct BlockFit {
  float mean = 0, threshold = 0, scale = 0;
};

float block_mean(const Blocks& blocks, const float* weight, std::int64_t block) {
  double sum = 0;
  std::int64_t elements = 0;
  blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
    sum += sum_magnitude(weight + offset, length);
    elements += length;
  });
  return std::max(static_cast<float>(sum / static_cast<double>(elements)), kSmallestMean);
}

NonZeroSums block_sums(const Blocks& blocks, const Inputs& in, std::int64_t block, float mean, float threshold) {
  NonZeroSums sums;
  blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t column, std::int64_t length) {
    const float* h = in.column_weight == nullptr ? nullptr : in.column_weight + column;
    const NonZeroSums run = sum_non_zero(in.weight + offset, h, length, mean, threshold);
    sums.weighted_magnitude += run.weighted_magnitude;
    sums.weight += run.weight;
  });
  return sums;
}

BlockFit fit_block(const Blocks& blocks, const Inputs& in, TernaryRule rule, std::int64_t block) {
  BlockFit fit;
  fit.mean = block_mean(blocks, in.weight, block);
  fit.threshold = in.thresholds == nullptr ? kDefaultThreshold : in.thresholds[block];
  if (rule == TernaryRule::kAbsmean) {
    fit.scale = as_stored(fit.mean);
    return fit;
  }
  const NonZeroSums sums = block_sums(blocks, in, block, fit.mean, fit.threshold);
  const double factor = in.scale_factors == nullptr ? 1 : in.scale_factors[block];
  fit.scale = as_stored(factor * (sums.weight > 0 ? sums.weighted_magnitude / sums.weight : fit.mean));
  return fit;
}

// sum h (w - sT)^2 = sum h w^2 - (sum h|w|)^2 / sum h over non-zeros at the best s, so the best threshold maximises
// the second term.
float best_threshold(const Blocks& blocks, const Inputs& in, std::int64_t block) {
  const float mean = block_mean(blocks, in.weight, block);
  float best = kDefaultThreshold;
  double best_gain = -1;
  for (float threshold : kThresholds) {
    const NonZeroSums sums = block_sums(blocks, in, block, mean, threshold);
    const double gain = sums.weight > 0 ? sums.weighted_magnitude * sums.weighted_magnitude / sums.weight : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best = threshold;
    }
  }
  return best;
}

void check_matrix(const at::Tensor& weight, const FormatSpec& spec) {
  if (weight.dim() != 2 || weight.numel() == 0) {
    throw DataError("a ternary tensor must be a matrix", "it has " + std::to_string(weight.dim()) + " dimensions");
  }
  if (spec.granularity == Granularity::kGroup && spec.group_size < 1) {
    throw DataError("group_size must be positive", "it is " + std::to_string(spec.group_size));
  }
}

template <typename Body>
void for_each_block(const Blocks& blocks, Body body) {
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, blocks.width));
  at::parallel_for(0, blocks.count(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) body(block);
  });
}

}  // namespace

void ternarize_on_host(const at::Tensor& weight, const FormatSpec& spec, const TernaryCalibration& calibration,
                       float* out, std::int8_t* trits, c10::Half* scales) {
  check_matrix(weight, spec);
  const Blocks blocks(weight.size(0), weight.size(1), spec);
  const bool calibrated = spec.rule == TernaryRule::kCalibrated;
  const auto data = [&](const at::Tensor& values) {
    return calibrated && values.defined() ? values.const_data_ptr<float>() : nullptr;
  };
  const Inputs in{weight.const_data_ptr<float>(), data(calibration.thresholds), data(calibration.mean_square),
                  data(calibration.scale_factors)};
  for_each_block(blocks, [&](std::int64_t block) {
    const BlockFit fit = fit_block(blocks, in, spec.rule, block);
    if (scales != nullptr) scales[block] = c10::Half(fit.scale);
    blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
      write_ternary(in.weight + offset, length, fit.mean, fit.threshold, fit.scale,
                    out == nullptr ? nullptr : out + offset, trits == nullptr ? nullptr : trits + offset);
    });
  });
}

}  // namespace quant

at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square) {
  quant::check_matrix(weight, spec);
  const at::Tensor matrix = quant::host_float(weight);
  const at::Tensor columns = mean_square.defined() ? quant::host_float(mean_square) : at::Tensor();
  const quant::Blocks blocks(matrix.size(0), matrix.size(1), spec);
  const quant::Inputs in{matrix.const_data_ptr<float>(), nullptr,
                         columns.defined() ? columns.const_data_ptr<float>() : nullptr, nullptr};
  at::Tensor thresholds = at::empty(scale_shape(matrix.size(0), matrix.size(1), spec), at::kFloat);
  float* out = thresholds.mutable_data_ptr<float>();
  quant::for_each_block(blocks, [&](std::int64_t block) { out[block] = quant::best_threshold(blocks, in, block); });
  return thresholds.to(weight.device());
}

}  // namespace tercet
