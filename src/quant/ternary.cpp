// The ternary rule on the host: one walk over the scale blocks of a matrix, shared by training and storage.
#include "quant/ternary.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>

#include "quant/blocks.hpp"
#include "quant/scale_blocks.hpp"
#include "quant/ternary_constants.hpp"

namespace tercet::quant {
namespace {

constexpr std::array<float, 9> kThresholds{0.30f, 0.35f, 0.40f, 0.45f, 0.50f, 0.55f, 0.60f, 0.65f, 0.70f};

float as_stored(double scale) {
  return static_cast<float>(c10::Half(static_cast<float>(scale)));
}

struct Inputs {
  const float* weight;
  const float* thresholds;     // null: kDefaultThreshold
  const float* column_weight;  // null: equal
  const float* scale_factors;  // null: 1
};

struct BlockFit {
  float limit = 0, scale = 0;  // weights up to the limit are zeros
};

float block_mean(const ScaleBlocks& blocks, const float* weight, std::int64_t block) {
  double sum = 0;
  std::int64_t elements = 0;
  blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
    sum += sum_magnitude(weight + offset, length);
    elements += length;
  });
  return mean_magnitude(sum, elements);
}

NonZeroSums block_sums(const ScaleBlocks& blocks, const Inputs& in, std::int64_t block, float limit) {
  NonZeroSums sums;
  blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t column, std::int64_t length) {
    const float* h = in.column_weight == nullptr ? nullptr : in.column_weight + column;
    const NonZeroSums run = sum_non_zero(in.weight + offset, h, length, limit);
    sums.weighted_magnitude += run.weighted_magnitude;
    sums.weight += run.weight;
  });
  return sums;
}

constexpr std::int64_t kFew = 8;  // blocks whose sums take turns in the processor's pipelines
using Means = std::array<float, kFew>;

Means block_means(const ScaleBlocks& blocks, const float* weight, std::int64_t first, std::int64_t count) {
  Means means;
  if (blocks.in_sequence()) {
    std::array<double, kFew> sums;
    sum_magnitudes(weight + first * blocks.width, blocks.width, count, sums.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) means[i] = mean_magnitude(sums[i], blocks.width);
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      means[static_cast<std::size_t>(i)] = block_mean(blocks, weight, first + i);
    }
  }
  return means;
}

BlockFit fit_block(const ScaleBlocks& blocks, const Inputs& in, ScaleRule rule, std::int64_t block, float mean) {
  const float limit = largest_zero(mean, in.thresholds == nullptr ? kDefaultThreshold : in.thresholds[block]);
  if (rule == ScaleRule::kAbsmean) return {limit, as_stored(mean)};
  const NonZeroSums sums = block_sums(blocks, in, block, limit);
  const double factor = in.scale_factors == nullptr ? 1 : in.scale_factors[block];
  return {limit, as_stored(factor * (sums.weight > 0 ? sums.weighted_magnitude / sums.weight : mean))};
}

// sum h (w - sT)^2 = sum h w^2 - (sum h|w|)^2 / sum h over non-zeros at the best s, so the best threshold maximises
// the second term.
float best_threshold(const ScaleBlocks& blocks, const Inputs& in, std::int64_t block) {
  const float mean = block_mean(blocks, in.weight, block);
  float best = kDefaultThreshold;
  double best_gain = -1;
  for (float threshold : kThresholds) {
    const NonZeroSums sums = block_sums(blocks, in, block, largest_zero(mean, threshold));
    const double gain = sums.weight > 0 ? sums.weighted_magnitude * sums.weighted_magnitude / sums.weight : 0;
    if (gain > best_gain) {
      best_gain = gain;
      best = threshold;
    }
  }
  return best;
}

}  // namespace

float mean_magnitude(double sum, std::int64_t count) {
  return std::max(static_cast<float>(sum / static_cast<double>(count)), kSmallestMean);
}

void ternarize_on_host(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration, float* out,
                       std::int8_t* trits, c10::Half* scales) {
  const ScaleBlocks blocks(weight.size(0), weight.size(1), spec);
  const bool calibrated = spec.rule == ScaleRule::kCalibrated;
  const auto data = [&](const at::Tensor& values) {
    return calibrated && values.defined() ? values.const_data_ptr<float>() : nullptr;
  };
  const Inputs in{weight.const_data_ptr<float>(), data(calibration.thresholds), data(calibration.mean_square),
                  data(calibration.scale_factors)};
  const auto ternarize_block = [&](std::int64_t block, float mean) {
    const BlockFit fit = fit_block(blocks, in, spec.rule, block, mean);
    if (scales != nullptr) scales[block] = c10::Half(fit.scale);
    blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
      write_ternary(in.weight + offset, length, fit.limit, fit.scale, out == nullptr ? nullptr : out + offset,
                    trits == nullptr ? nullptr : trits + offset);
    });
  };
  blocks.for_each_few<kFew>([&](std::int64_t first, std::int64_t count) {
    const Means means = block_means(blocks, in.weight, first, count);
    for (std::int64_t i = 0; i < count; ++i) ternarize_block(first + i, means[static_cast<std::size_t>(i)]);
  });
}

at::Tensor calibrate_thresholds(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square) {
  const at::Tensor matrix = host_float(weight);
  const at::Tensor columns = mean_square.defined() ? host_float(mean_square) : at::Tensor();
  const ScaleBlocks blocks(matrix.size(0), matrix.size(1), spec);
  const Inputs in{matrix.const_data_ptr<float>(), nullptr,
                  columns.defined() ? columns.const_data_ptr<float>() : nullptr, nullptr};
  at::Tensor thresholds = at::empty(scale_shape(matrix.size(0), matrix.size(1), spec), at::kFloat);
  float* out = thresholds.mutable_data_ptr<float>();
  blocks.for_each_block([&](std::int64_t block) { out[block] = best_threshold(blocks, in, block); });
  return thresholds.to(weight.device());
}

}  // namespace tercet::quant
