#include "tercet/train/scale_polish.hpp"

#include <ATen/core/grad_mode.h>

#include <utility>

#include "tercet/quant/number_format.hpp"

namespace tercet {

void freeze_levels(std::vector<TrainedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    parameter.trained = is_block_linear(parameter.role) && parameter.spec && parameter.spec->format->is_grid();
    if (!parameter.trained) continue;
    const at::Tensor matrix = as_output_first(parameter.master.detach(), parameter.input_first);
    QuantizedMatrix levels = quantize(matrix, *parameter.spec, parameter.calibration);
    parameter.master = levels.scales.to(at::kFloat);
    parameter.levels = std::move(levels);
  }
}

void thaw_levels(std::vector<TrainedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    parameter.trained = true;
    if (!parameter.levels) continue;
    Calibration pinned;
    pinned.scales = parameter.stored_scales().to(at::kFloat);
    pinned.zero_points = parameter.levels->zero_points;
    parameter.master = parameter.seen.detach().clone();
    parameter.calibration = pinned;
    parameter.levels.reset();
  }
  requantize(parameters);
}

}  // namespace tercet
