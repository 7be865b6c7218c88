#include "tercet/train/student.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <array>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/quant/scale_gradient.hpp"
#include "tercet/train/spill.hpp"

namespace tercet {

namespace {

constexpr std::array kCalibrationParts = {&Calibration::thresholds, &Calibration::mean_square,
                                          &Calibration::scale_factors, &Calibration::scales, &Calibration::zero_points};

// What forward sees of a streamed parameter.
at::Tensor streamed_seen_value(const TrainedParameter& parameter) {
  const at::NoGradGuard no_grad;
  const at::Tensor master = parameter.stream();
  if (!parameter.spec) return master;
  return quantized_value(master, *parameter.spec, on_device(parameter.calibration, master.device()),
                         parameter.input_first);
}

}  // namespace

Calibration on_device(const Calibration& calibration, at::Device device) {
  Calibration moved;
  for (const auto part : kCalibrationParts) {
    if ((calibration.*part).defined()) moved.*part = (calibration.*part).to(device);
  }
  return moved;
}

at::Tensor quantized_value(const at::Tensor& master, const FormatSpec& spec, const Calibration& calibration,
                           bool input_first) {
  const at::Tensor matrix = as_output_first(master, input_first);
  at::Tensor quantized = at::empty_like(matrix);
  fake_quantize(matrix, spec, calibration, quantized);
  return input_first ? quantized.t().contiguous() : quantized;
}

at::Tensor as_output_first(const at::Tensor& value, bool input_first) {
  return input_first ? value.t().contiguous() : value;
}

at::Tensor TrainedParameter::stored_scales() const {
  constexpr double kSmallest =
      6.2e-5;  // above fp16's smallest normal number: a level is found by dividing by its scale
  const at::Tensor sign = levels->scales.to(at::kFloat).sign();
  return (sign * (sign * master.detach()).clamp_min(kSmallest)).to(at::kHalf);
}

Student::Student(Decoder decoder, const std::vector<ParameterPlan>& plan) : decoder_(std::move(decoder)) {
  const at::NoGradGuard no_grad;
  if (plan.size() != decoder_.parameters().size()) {
    throw DataError("the plan has " + std::to_string(plan.size()) + " entries",
                    "the model has " + std::to_string(decoder_.parameters().size()) + " parameters");
  }
  for (std::size_t i = 0; i < plan.size(); ++i) {
    Parameter& parameter = decoder_.parameters()[i];
    TrainedParameter trained{parameter.name,
                             parameter.role,
                             parameter.input_first,
                             plan[i].spec,
                             plan[i].calibration,
                             parameter.value.contiguous(),
                             {}};
    if (parameter.streamed) {
      trained.stream = [source = parameter.streamed] { return source->make(); };
      parameters_.push_back(std::move(trained));
      stream(i);
      continue;
    }
    trained.seen = trained.spec ? at::empty_like(trained.master) : trained.master;
    trained.seen.set_requires_grad(true);
    parameter.value = trained.seen;
    parameters_.push_back(std::move(trained));
  }
  requantize();
}

void Student::stream(std::size_t index) {
  TrainedParameter& trained = parameters_[index];
  Parameter& parameter = decoder_.parameters()[index];
  trained.master = trained.seen = parameter.value = shape_alone(parameter.value.sizes().vec());
  parameter.streamed = std::make_shared<StreamedWeight>([copy = trained] { return streamed_seen_value(copy); });
  streams_ = true;
}

void Student::load_block(int block) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    TrainedParameter& trained = parameters_[i];
    Parameter& parameter = decoder_.parameters()[i];
    if (parameter.layer != block || !trained.stream) continue;
    trained.seen = parameter.streamed->make();
    trained.master = trained.spec ? trained.stream() : trained.seen;
    trained.calibration = on_device(trained.calibration, trained.master.device());
    trained.stream = {};
    trained.seen.set_requires_grad(true);
    parameter.value = trained.seen;
    parameter.streamed = nullptr;
  }
}

void Student::put_away_block(Communicator& comm, int block, const std::filesystem::path& file) {
  std::vector<std::size_t> places;
  std::vector<at::Tensor> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (decoder_.parameters()[i].layer != block) continue;
    places.push_back(i);
    tensors.push_back(parameters_[i].master);
    for (const auto part : kCalibrationParts) tensors.push_back(parameters_[i].calibration.*part);
  }
  const std::vector<at::Tensor> views = spilled(comm, file, tensors);
  const at::Device device = decoder_.device();
  auto view = views.begin();
  for (const std::size_t i : places) {
    parameters_[i].stream = [master = *view++, device] { return master.to(device, at::kFloat, false, true); };
    for (const auto part : kCalibrationParts) parameters_[i].calibration.*part = *view++;
    stream(i);
  }
}

void requantize(std::vector<TrainedParameter>& parameters, double hardness) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    if (!parameter.spec || parameter.stream) continue;
    if (parameter.levels) {
      const QuantizedMatrix now{parameter.levels->levels, parameter.stored_scales(), parameter.levels->zero_points};
      const at::Tensor value = dequantize(now, *parameter.spec);
      parameter.seen.detach().copy_(parameter.input_first ? value.t() : value);
      continue;
    }
    if (parameter.input_first) {
      const at::Tensor matrix = as_output_first(parameter.master, true);
      at::Tensor quantized = at::empty_like(matrix);
      fake_quantize(matrix, *parameter.spec, parameter.calibration, quantized);
      parameter.seen.detach().copy_(quantized.t());
    } else {
      fake_quantize(parameter.master, *parameter.spec, parameter.calibration, parameter.seen.detach());
    }
    if (hardness < 1 && parameter.trained && is_block_linear(parameter.role)) {
      parameter.seen.detach().lerp_(parameter.master.detach(), 1 - hardness);
    }
  }
}

void derive_gradients(std::vector<TrainedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    if (!parameter.levels) continue;
    const at::Tensor gradient = as_output_first(parameter.seen.grad(), parameter.input_first);
    parameter.scale_gradient = scale_gradient(gradient, *parameter.levels, *parameter.spec);
  }
}

std::vector<at::Tensor> Student::copy_masters() const {
  std::vector<at::Tensor> copies;
  for (const TrainedParameter& parameter : parameters_) copies.push_back(parameter.master.detach().clone());
  return copies;
}

void Student::restore_masters(const std::vector<at::Tensor>& masters) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].master.detach().copy_(masters.at(i));
  requantize();
}

}  // namespace tercet
