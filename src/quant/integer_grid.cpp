#include "quant/integer_grid.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "quant/blocks.hpp"
#include "quant/scale_blocks.hpp"

namespace tercet::quant {
namespace {

constexpr float kLargestHalf = 65504.0f;
constexpr float kSmallestFactor = 0.35f, kFactorStep = 0.025f;
constexpr int kFactors = 27;  // 0.35 to 1

float as_stored(float scale) {
  return static_cast<float>(c10::Half(scale));
}

// So that the largest value stays within fp16, also after the scale is rounded up.
float largest_scale(LevelRange range) {
  return kLargestHalf * 0.999f / static_cast<float>(range.highest - range.lowest);
}

// Of int8's -127 to 127 each level has a counterpart; of the others' ranges the lowest has none.
bool has_lone_level(LevelRange range) {
  return range.lowest != -range.highest;
}

LevelMap fit_symmetric(Extremes extremes, LevelRange range, float factor) {
  const float limit = largest_scale(range);
  float scale = 0;
  if (has_lone_level(range)) {
    const float extreme = extremes.high >= -extremes.low ? extremes.high : extremes.low;
    scale = factor * extreme / static_cast<float>(range.lowest);
  } else {
    scale = factor * std::max(extremes.high, -extremes.low) / static_cast<float>(range.highest);
  }
  if (!(std::fabs(scale) >= kSmallestScale)) scale = kSmallestScale;
  return {as_stored(std::min(std::max(scale, -limit), limit)), 0, static_cast<float>(range.lowest),
          static_cast<float>(range.highest)};
}

LevelMap fit_asymmetric(Extremes extremes, LevelRange range, float factor) {
  const auto lowest = static_cast<float>(range.lowest), highest = static_cast<float>(range.highest);
  const float low = factor * extremes.low, high = factor * extremes.high;
  const float scale =
      as_stored(std::min(std::max((high - low) / (highest - lowest), kSmallestScale), largest_scale(range)));
  const float zero = std::nearbyint(-low / scale) + lowest;
  return {scale, std::min(std::max(zero, lowest), highest), lowest, highest};
}

// One matrix with what is known about it.
struct Problem {
  Problem(const at::Tensor& weight, const FormatSpec& format_spec, LevelRange level_range)
      : spec(format_spec),
        range(level_range),
        blocks(weight.size(0), weight.size(1), format_spec),
        data(weight.const_data_ptr<float>()) {}

  Extremes extremes_of(std::int64_t block) const {
    Extremes all;
    blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
      const Extremes run = extremes(data + offset, length);
      all = {std::min(all.low, run.low), std::max(all.high, run.high)};
    });
    return all;
  }

  LevelMap fit(Extremes extremes, float factor) const {
    return spec.symmetric ? fit_symmetric(extremes, range, factor) : fit_asymmetric(extremes, range, factor);
  }

  const FormatSpec& spec;
  LevelRange range;
  ScaleBlocks blocks;
  const float* data;
};

// The level map of each block: fixed, or fitted with the factors that the rule has.
class Maps {
 public:
  Maps(const Problem& problem, const Calibration& calibration) : problem_(problem) {
    if (calibration.scales.defined()) {
      fixed_ = host_float(calibration.scales);
      if (calibration.zero_points.defined()) zero_points_ = host_float(calibration.zero_points);
    } else if (problem.spec.rule == ScaleRule::kCalibrated && calibration.scale_factors.defined()) {
      factors_ = host_float(calibration.scale_factors);
    }
  }

  LevelMap of(std::int64_t block) const {
    if (!fixed_.defined()) {
      const float factor = factors_.defined() ? factors_.const_data_ptr<float>()[block] : 1.0f;
      return problem_.fit(problem_.extremes_of(block), factor);
    }
    const float zero = zero_points_.defined() ? zero_points_.const_data_ptr<float>()[block] : 0.0f;
    return {as_stored(fixed_.const_data_ptr<float>()[block]), zero, static_cast<float>(problem_.range.lowest),
            static_cast<float>(problem_.range.highest)};
  }

 private:
  const Problem& problem_;
  at::Tensor fixed_, zero_points_, factors_;
};

double error_of(const Problem& problem, const float* column_weight, std::int64_t block, const LevelMap& map) {
  double error = 0;
  problem.blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t column, std::int64_t length) {
    error +=
        level_error(problem.data + offset, column_weight == nullptr ? nullptr : column_weight + column, length, map);
  });
  return error;
}

// From 1 downwards, so that among equals the widest range is taken. Mirrored, the extreme falls to the highest level,
// one short of the lowest: the factor is larger by as much.
float best_factor(const Problem& problem, const float* column_weight, std::int64_t block) {
  const Extremes extremes = problem.extremes_of(block);
  const bool mirrors = problem.spec.symmetric && has_lone_level(problem.range);
  const float mirrored = -static_cast<float>(problem.range.lowest) / static_cast<float>(problem.range.highest);
  float best = 1;
  double least = INFINITY;
  for (int i = kFactors - 1; i >= 0; --i) {
    const float factor = kSmallestFactor + static_cast<float>(i) * kFactorStep;
    for (const float candidate : {factor, -factor * mirrored}) {
      if (candidate < 0 && !mirrors) continue;
      const double error = error_of(problem, column_weight, block, problem.fit(extremes, candidate));
      if (error < least) {
        least = error;
        best = candidate;
      }
    }
  }
  return best;
}

struct GridTensors {
  at::Tensor scales, zeros;  // float32 [blocks, 1]
};

GridTensors fit_by_expressions(const at::Tensor& blocks, const FormatSpec& spec, LevelRange range,
                               const at::Tensor& factor) {
  const at::Tensor low = blocks.amin(1, true).clamp_max(0), high = blocks.amax(1, true).clamp_min(0);
  const double limit = largest_scale(range);
  const auto lowest = static_cast<float>(range.lowest), highest = static_cast<float>(range.highest);
  if (!spec.symmetric) {
    const at::Tensor least = factor * low;
    const at::Tensor scale = ((factor * high - least) / (highest - lowest)).clamp(kSmallestScale, limit);
    const at::Tensor stored = scale.to(at::kHalf).to(at::kFloat);
    return {stored, ((-least / stored).round() + lowest).clamp(lowest, highest)};
  }
  at::Tensor scale = has_lone_level(range) ? factor * at::where(high >= -low, high, low) / lowest
                                           : factor * high.maximum(-low) / highest;
  scale = at::where(scale.abs() >= kSmallestScale, scale, scale.new_full({}, kSmallestScale)).clamp(-limit, limit);
  return {scale.to(at::kHalf).to(at::kFloat), scale.new_zeros({1, 1})};
}

GridTensors grid_by_expressions(const at::Tensor& blocks, const FormatSpec& spec, LevelRange range,
                                const Calibration& calibration) {
  const auto per_block = [&](const at::Tensor& values) {
    return values.to(blocks.device(), at::kFloat).reshape({-1, 1});
  };
  if (!calibration.scales.defined()) {
    const bool clipped = spec.rule == ScaleRule::kCalibrated && calibration.scale_factors.defined();
    return fit_by_expressions(blocks, spec, range,
                              clipped ? per_block(calibration.scale_factors) : blocks.new_ones({1, 1}));
  }
  return {per_block(calibration.scales.to(at::kHalf)),
          calibration.zero_points.defined() ? per_block(calibration.zero_points) : blocks.new_zeros({1, 1})};
}

}  // namespace

void to_grid_on_host(const at::Tensor& weight, const FormatSpec& spec, LevelRange range, const Calibration& calibration,
                     const GridOutputs& outputs) {
  const Problem problem(weight, spec, range);
  const Maps maps(problem, calibration);
  problem.blocks.for_each_block([&](std::int64_t block) {
    const LevelMap map = maps.of(block);
    if (outputs.scales != nullptr) outputs.scales[block] = c10::Half(map.scale);
    if (outputs.zero_points != nullptr) outputs.zero_points[block] = static_cast<std::int8_t>(map.zero);
    if (outputs.values == nullptr && outputs.levels == nullptr) return;
    problem.blocks.for_each_run(block, [&](std::int64_t offset, std::int64_t, std::int64_t length) {
      write_levels(problem.data + offset, length, map, outputs.values == nullptr ? nullptr : outputs.values + offset,
                   outputs.levels == nullptr ? nullptr : outputs.levels + offset);
    });
  });
}

QuantizedMatrix to_grid_by_expressions(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                                       const Calibration& calibration) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const at::Tensor blocks = to_blocks(weight.detach().to(at::kFloat), spec);
  const GridTensors grid = grid_by_expressions(blocks, spec, range, calibration);
  const at::Tensor levels = ((blocks / grid.scales).round() + grid.zeros).clamp(range.lowest, range.highest);
  QuantizedMatrix result{from_blocks(levels, rows, columns).to(at::kChar),
                         grid.scales.to(at::kHalf).reshape(scale_shape(rows, columns, spec)),
                         {}};
  if (!spec.symmetric) result.zero_points = grid.zeros.to(at::kChar).reshape(result.scales.sizes());
  return result;
}

QuantizedMatrix to_grid(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                        const Calibration& calibration) {
  if (!weight.device().is_cpu()) return to_grid_by_expressions(weight, spec, range, calibration);
  const at::Tensor matrix = host_float(weight);
  const std::vector<std::int64_t> shape = scale_shape(matrix.size(0), matrix.size(1), spec);
  QuantizedMatrix result{at::empty(matrix.sizes(), at::kChar), at::empty(shape, at::kHalf), {}};
  if (!spec.symmetric) result.zero_points = at::empty(shape, at::kChar);
  to_grid_on_host(matrix, spec, range, calibration,
                  {nullptr, result.levels.mutable_data_ptr<std::int8_t>(), result.scales.mutable_data_ptr<c10::Half>(),
                   spec.symmetric ? nullptr : result.zero_points.mutable_data_ptr<std::int8_t>()});
  return result;
}

void fake_quantize_on_grid(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                           const Calibration& calibration, at::Tensor& out) {
  if (on_host(weight) && on_host(out)) {
    to_grid_on_host(weight, spec, range, calibration, {out.mutable_data_ptr<float>(), nullptr, nullptr, nullptr});
  } else {
    out.copy_(dequantize(to_grid_by_expressions(weight, spec, range, calibration), spec));
  }
}

at::Tensor calibrate_scale_factors(const at::Tensor& weight, const FormatSpec& spec, LevelRange range,
                                   const at::Tensor& mean_square) {
  const at::Tensor matrix = host_float(weight);
  const at::Tensor columns = mean_square.defined() ? host_float(mean_square) : at::Tensor();
  const Problem problem(matrix, spec, range);
  const float* column_weight = columns.defined() ? columns.const_data_ptr<float>() : nullptr;
  at::Tensor factors = at::empty(scale_shape(matrix.size(0), matrix.size(1), spec), at::kFloat);
  float* out = factors.mutable_data_ptr<float>();
  problem.blocks.for_each_block([&](std::int64_t block) { out[block] = best_factor(problem, column_weight, block); });
  return factors.to(weight.device());
}

}  // namespace tercet::quant
