#include "storage_plan.hpp"

#include <ATen/core/grad_mode.h>
#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "tercet/base/error.hpp"
#include "tercet/store/unit_bytes.hpp"

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
  const at::Tensor seen = as_output_first(parameter.seen.detach(), parameter.input_first);
  const ErrorMeasures error =
      measure_error(reference, seen, statistics == nullptr ? at::Tensor() : statistics->mean_square);
  const at::Tensor scales = storage_scales(master, *parameter.spec, parameter.calibration).to(at::kFloat);
  LayerRecord record;
  record.name = parameter.name;
  record.role = to_string(parameter.role);
  record.format = to_string(parameter.spec->format);
  record.rows = master.size(0);
  record.columns = master.size(1);
  record.group_size = parameter.spec->granularity == Granularity::kGroup ? parameter.spec->group_size : 0;
  const std::uint64_t bytes = stored_bytes(unfilled(master.sizes().vec(), *parameter.spec));
  record.bits_per_weight = 8.0 * static_cast<double>(bytes) / static_cast<double>(master.numel());
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

bool needs_thresholds(const ParameterPlan& entry) {
  return entry.spec && entry.spec->format == NumberFormat::kTernary && entry.spec->rule == TernaryRule::kCalibrated;
}

void add_calibration(Communicator& comm, const std::vector<Parameter>& parameters,
                     const std::vector<LayerStatistics>& statistics, std::vector<ParameterPlan>& plan, WorkLog* done,
                     StopControl* stop) {
  const at::NoGradGuard no_grad;
  std::vector<const LayerStatistics*> layers;
  for (const LayerStatistics& layer : statistics) {
    if (needs_thresholds(plan[layer.parameter])) layers.push_back(&layer);
  }
  UnitWork work;
  work.name = "thresholds";
  work.count = layers.size();
  work.compute = [&](std::uint64_t unit) {
    const LayerStatistics& layer = *layers[unit];
    const Parameter& parameter = parameters[layer.parameter];
    const at::Tensor weight = as_output_first(parameter.value, parameter.input_first).to(at::kCPU);
    ByteWriter bytes;
    bytes.add(calibrate_thresholds(weight, *plan[layer.parameter].spec, layer.mean_square));
    return bytes.take();
  };
  const std::vector<std::string> outcomes = run_units_for_all(comm, work, done, stop);
  for (std::size_t unit = 0; unit < layers.size(); ++unit) {
    const LayerStatistics& layer = *layers[unit];
    const Parameter& parameter = parameters[layer.parameter];
    const at::Device device = parameter.value.device();
    const std::vector<std::int64_t> shape = output_first_shape(parameter);
    ByteReader bytes(outcomes[unit]);
    const at::Tensor thresholds =
        bytes.tensor(scale_shape(shape[0], shape[1], *plan[layer.parameter].spec), at::kFloat);
    plan[layer.parameter].calibration = {thresholds.to(device), layer.mean_square.to(device)};
  }
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
