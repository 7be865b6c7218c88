#include "storage_plan.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

FormatSpec ternary_spec(const QuantizationSection& settings) {
  return {NumberFormat::kTernary, granularity(settings.granularity), settings.group_size, ternary_rule(settings.rule)};
}

FormatSpec table_spec(std::int64_t bits) {
  return {bits == 8 ? NumberFormat::kInt8 : NumberFormat::kFloat16, Granularity::kChannel, 0, TernaryRule::kAbsmean};
}

FormatSpec spec_for(const QuantizationSection& settings, const Parameter& parameter) {
  if (is_block_linear(parameter.role)) return ternary_spec(settings);
  if (parameter.role == Role::kEmbedding) return table_spec(settings.embedding_bits);
  if (parameter.role == Role::kHead) return table_spec(settings.head_bits);
  return FormatSpec{};
}

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

std::vector<std::int64_t> output_first_shape(const Parameter& parameter) {
  std::vector<std::int64_t> shape = parameter.value.sizes().vec();
  if (parameter.input_first) std::reverse(shape.begin(), shape.end());
  return shape;
}

const LayerStatistics* find_statistics(const std::vector<LayerStatistics>& statistics, std::size_t parameter) {
  const auto found = std::find_if(statistics.begin(), statistics.end(),
                                  [&](const LayerStatistics& layer) { return layer.parameter == parameter; });
  return found == statistics.end() ? nullptr : &*found;
}

LayerRecord describe(const TrainedParameter& parameter, const LayerStatistics* statistics,
                     const at::Tensor& reference) {
  const at::Tensor master = as_output_first(parameter.master.detach(), parameter.input_first);
  const StoredTensor stored = store(master, *parameter.spec, parameter.calibration);
  const ErrorMeasures error =
      measure_error(reference, dequantize(stored), statistics == nullptr ? at::Tensor() : statistics->mean_square);
  const at::Tensor scales = stored.scales.to(at::kFloat);
  LayerRecord record;
  record.name = parameter.name;
  record.role = to_string(parameter.role);
  record.format = to_string(parameter.spec->format);
  record.rows = master.size(0);
  record.columns = master.size(1);
  record.group_size = parameter.spec->granularity == Granularity::kGroup ? parameter.spec->group_size : 0;
  record.bits_per_weight = 8.0 * static_cast<double>(stored_bytes(stored)) / static_cast<double>(master.numel());
  record.scale_min = scales.min().item<double>();
  record.scale_mean = scales.mean().item<double>();
  record.scale_max = scales.max().item<double>();
  record.sparsity = error.sparsity;
  record.relative_error = error.relative;
  record.weighted_relative_error = error.weighted_relative;
  return record;
}

}  // namespace

std::vector<ParameterPlan> plan_storage(const QuantizationSection& settings, const std::vector<Parameter>& parameters) {
  std::map<std::string, int> uses;
  for (const std::string& pattern : settings.skip) uses[pattern] = 0;
  std::vector<ParameterPlan> plan;
  bool any_ternary = false;
  for (const Parameter& parameter : parameters) {
    FormatSpec spec = spec_for(settings, parameter);
    for (auto& [pattern, count] : uses) {
      if (!matches(pattern, parameter.name)) continue;
      ++count;
      spec = FormatSpec{};
    }
    any_ternary = any_ternary || spec.format == NumberFormat::kTernary;
    plan.push_back({spec, {}});
  }
  for (const auto& [pattern, count] : uses) {
    if (count == 0) {
      throw ConfigError("quantization.skip: '" + pattern + "' matches no parameter", "",
                        "names look like '" + parameters.back().name + "'; '*' and '?' are wildcards");
    }
  }
  if (!any_ternary) throw ConfigError("quantization.skip leaves no layer to quantize");
  return plan;
}

void add_calibration(Communicator& comm, const std::vector<Parameter>& parameters,
                     const std::vector<LayerStatistics>& statistics, std::vector<ParameterPlan>& plan) {
  const at::NoGradGuard no_grad;
  int turn = 0;
  for (const LayerStatistics& layer : statistics) {
    ParameterPlan& entry = plan[layer.parameter];
    if (!entry.spec || entry.spec->format != NumberFormat::kTernary || entry.spec->rule != TernaryRule::kCalibrated)
      continue;
    const Parameter& parameter = parameters[layer.parameter];
    const at::Tensor weight = as_output_first(parameter.value, parameter.input_first).to(at::kCPU);
    const int owner = turn++ % comm.size();
    at::Tensor thresholds = owner == comm.rank()
                                ? calibrate_thresholds(weight, *entry.spec, layer.mean_square)
                                : at::empty(scale_shape(weight.size(0), weight.size(1), *entry.spec), at::kFloat);
    if (comm.size() > 1) comm.broadcast(thresholds, owner);
    entry.calibration = {thresholds.to(parameter.value.device()), layer.mean_square.to(parameter.value.device())};
  }
}

std::uint64_t planned_bytes(const std::vector<Parameter>& parameters, const std::vector<ParameterPlan>& plan) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    bytes += expected_bytes(output_first_shape(parameters[i]), *plan[i].spec);
  return bytes;
}

std::vector<LayerRecord> describe_layers(const Student& student, const std::vector<LayerStatistics>& statistics,
                                         const std::vector<Parameter>& reference) {
  const at::NoGradGuard no_grad;
  std::vector<LayerRecord> table;
  for (std::size_t i = 0; i < student.parameters().size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    if (!parameter.spec || parameter.spec->format == NumberFormat::kFloat16) continue;
    const at::Tensor& against = reference.empty() ? parameter.master.detach() : reference.at(i).value;
    table.push_back(
        describe(parameter, find_statistics(statistics, i), as_output_first(against, parameter.input_first)));
  }
  return table;
}

}  // namespace tercet::job
