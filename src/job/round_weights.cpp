#include "round_weights.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>

#include "storage_plan.hpp"
#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

struct CalibrationPart {
  const char* name;
  at::Tensor Calibration::*values;
};
constexpr std::array kParts = {
    CalibrationPart{"thresholds", &Calibration::thresholds}, CalibrationPart{"mean_square", &Calibration::mean_square},
    CalibrationPart{"scale_factors", &Calibration::scale_factors}, CalibrationPart{"scales", &Calibration::scales},
    CalibrationPart{"zero_points", &Calibration::zero_points}};

std::string place_of(const CalibrationPart& part, const std::string& parameter) {
  return "calibration." + std::string(part.name) + "." + parameter;
}

const at::Tensor* find(const StateTensors& weights, const std::string& name) {
  const auto found = std::find_if(weights.begin(), weights.end(), [&](const auto& each) { return each.first == name; });
  return found == weights.end() ? nullptr : &found->second;
}

}  // namespace

StateTensors weights_of(const Student& student) {
  const at::NoGradGuard no_grad;
  StateTensors weights;
  for (const TrainedParameter& parameter : student.parameters()) {
    weights.emplace_back("master." + parameter.name, parameter.master.detach().contiguous());
    for (const CalibrationPart& part : kParts) {
      const at::Tensor& values = parameter.calibration.*part.values;
      if (!values.defined()) continue;
      // Checkpoints hold no int8: zero points travel as whole numbers of 64 bits.
      weights.emplace_back(place_of(part, parameter.name),
                           (values.scalar_type() == at::kChar ? values.to(at::kLong) : values).contiguous());
    }
  }
  return weights;
}

Decoder with_weights(const Decoder& model, const StateTensors& weights) {
  const at::NoGradGuard no_grad;
  Decoder copy = model.clone();
  for (Parameter& parameter : copy.parameters()) {
    const at::Tensor* saved = find(weights, "master." + parameter.name);
    if (saved == nullptr || saved->sizes() != parameter.value.sizes())
      throw StoreError("the weights of an earlier round lack '" + parameter.name + "'");
    parameter.value.copy_(*saved);
  }
  return copy;
}

void take_seen_values(Decoder& model, const StateTensors& weights, std::vector<ParameterPlan> before,
                      const std::vector<ParameterPlan>& now) {
  const at::NoGradGuard no_grad;
  add_saved_calibration(model.parameters(), weights, before);
  const Student student(model.clone(), before);
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (storage_key({before[i]}) == storage_key({now[i]})) continue;
    model.parameters()[i].value.copy_(student.parameters()[i].seen.detach());
  }
}

void add_saved_calibration(const std::vector<Parameter>& parameters, const StateTensors& weights,
                           std::vector<ParameterPlan>& plan) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const CalibrationPart& part : kParts) {
      const at::Tensor* saved = find(weights, place_of(part, parameters[i].name));
      if (saved == nullptr) continue;
      const at::ScalarType type = saved->scalar_type() == at::kLong ? at::kChar : saved->scalar_type();
      plan[i].calibration.*part.values = saved->to(type).to(parameters[i].value.device()).clone();
    }
  }
}

}  // namespace tercet::job
