#include "storage_plan.hpp"

#include <ATen/core/grad_mode.h>
#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>

#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/store/unit_bytes.hpp"

namespace tercet::job {
namespace {

FormatSpec block_spec(const QuantizationSection& settings) {
  return {number_format(settings.format), granularity(settings.granularity), settings.group_size,
          scale_rule(settings.rule), settings.symmetric};
}

// Embedding and head. Eight bits are enough for the whole range of a row; fewer take the best part of a group's.
FormatSpec table_spec(const std::string& bits, std::int64_t group_size) {
  if (bits == "16") return {};
  if (bits == "8") return {number_format("int8"), Granularity::kChannel, 0, ScaleRule::kMinMax};
  return {number_format(bits == "ternary" ? bits : "int" + bits), Granularity::kGroup, group_size,
          ScaleRule::kCalibrated};
}

FormatSpec spec_for(const QuantizationSection& settings, const Parameter& parameter) {
  if (is_block_linear(parameter.role)) return block_spec(settings);
  if (parameter.role == Role::kEmbedding) return table_spec(settings.embedding_bits, settings.table_group_size);
  if (parameter.role == Role::kHead) return table_spec(settings.head_bits, settings.table_group_size);
  return {};
}

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

std::vector<std::int64_t> output_first_shape(const Parameter& parameter) {
  std::vector<std::int64_t> shape = parameter.value.sizes().vec();
  if (parameter.input_first) std::reverse(shape.begin(), shape.end());
  return shape;
}

// The multiple of 4 from 8 up that divides `width` and is nearest to `wanted`; 0: there is none.
std::int64_t nearest_divisor(std::int64_t width, std::int64_t wanted) {
  std::int64_t nearest = 0;
  for (std::int64_t group = 8; group <= width; group += 4) {
    if (width % group == 0 && (nearest == 0 || std::abs(group - wanted) < std::abs(nearest - wanted))) nearest = group;
  }
  return nearest;
}

// Formats that take no short groups. The hint fits all parameters that share the setting.
void check_groups(const std::vector<ParameterPlan>& plan, const std::vector<Parameter>& parameters) {
  struct Setting {
    std::int64_t common = 0, size = 0;
    std::string misfit;
  };
  std::map<std::string, Setting> settings;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const FormatSpec& spec = *plan[i].spec;
    if (!spec.format->is_grid() || spec.format->takes_short_groups() || spec.granularity != Granularity::kGroup)
      continue;
    const std::int64_t width = output_first_shape(parameters[i])[1];
    Setting& setting = settings[is_block_linear(parameters[i].role) ? "group_size" : "table_group_size"];
    setting.common = std::gcd(setting.common, width);
    setting.size = spec.group_size;
    if (width % spec.group_size != 0 && setting.misfit.empty())
      setting.misfit = std::to_string(width) + " inputs of '" + parameters[i].name + "'";
  }
  for (const auto& [key, setting] : settings) {
    if (setting.misfit.empty()) continue;
    const std::int64_t works = nearest_divisor(setting.common, setting.size);
    const std::string otherwise = key == "group_size" ? "quantization.granularity: channel works" : "8 or 16 bits work";
    throw ConfigError(
        "quantization." + key + ": " + std::to_string(setting.size) + " does not divide the " + setting.misfit,
        "integers have no short groups", works == 0 ? otherwise : std::to_string(works) + " divides every width");
  }
}

const LayerStatistics* find_statistics(const std::vector<LayerStatistics>& statistics, std::size_t parameter) {
  const auto found = std::find_if(statistics.begin(), statistics.end(),
                                  [&](const LayerStatistics& layer) { return layer.parameter == parameter; });
  return found == statistics.end() ? nullptr : &*found;
}

// What a rule found for each scale block; the mean squares are everywhere already.
std::string to_bytes(const Calibration& found) {
  ByteWriter bytes;
  for (const at::Tensor* values : {&found.thresholds, &found.scale_factors}) {
    bytes.add(static_cast<std::uint8_t>(values->defined()));
    if (values->defined()) bytes.add(*values);
  }
  return bytes.take();
}

Calibration from_bytes(const std::string& outcome, const std::vector<std::int64_t>& shape) {
  ByteReader bytes(outcome);
  Calibration found;
  for (at::Tensor* values : {&found.thresholds, &found.scale_factors}) {
    if (bytes.number<std::uint8_t>() != 0) *values = bytes.tensor(shape, at::kFloat);
  }
  return found;
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
  record.format = parameter.spec->format->name();
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
  bool any_quantized = false;
  for (const Parameter& parameter : parameters) {
    FormatSpec spec = spec_for(settings, parameter);
    for (auto& [pattern, count] : uses) {
      if (!matches(pattern, parameter.name)) continue;
      ++count;
      spec = FormatSpec{};
    }
    any_quantized = any_quantized || (is_block_linear(parameter.role) && spec.format->is_grid());
    plan.push_back({spec, {}});
  }
  for (const auto& [pattern, count] : uses) {
    if (count == 0) {
      throw ConfigError("quantization.skip: '" + pattern + "' matches no parameter", "",
                        "names look like '" + parameters.back().name + "'; '*' and '?' are wildcards");
    }
  }
  if (!any_quantized) throw ConfigError("quantization.skip leaves no layer to quantize");
  check_groups(plan, parameters);
  return plan;
}

bool needs_calibration(const ParameterPlan& entry) {
  return entry.spec && entry.spec->format->is_grid() && entry.spec->rule == ScaleRule::kCalibrated;
}

void add_calibration(Communicator& comm, const std::vector<Parameter>& parameters,
                     const std::vector<LayerStatistics>& statistics, CalibrationScope scope,
                     std::vector<ParameterPlan>& plan, WorkLog* done, StopControl* stop) {
  const at::NoGradGuard no_grad;
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const bool wanted = scope == CalibrationScope::kAll || !is_block_linear(parameters[i].role);
    if (wanted && needs_calibration(plan[i])) indices.push_back(i);
  }
  const auto mean_square = [&](std::size_t index) {
    const LayerStatistics* layer = find_statistics(statistics, index);
    return layer == nullptr ? at::Tensor() : layer->mean_square;
  };
  UnitWork work;
  work.name = "thresholds";
  work.count = indices.size();
  work.compute = [&](std::uint64_t unit) {
    const std::size_t index = indices[unit];
    const at::Tensor weight = as_output_first(parameters[index].value, parameters[index].input_first).to(at::kCPU);
    const Calibration found = calibrate_format(weight, *plan[index].spec, mean_square(index));
    return to_bytes(found);
  };
  const std::vector<std::string> outcomes = run_units_for_all(comm, work, done, stop);
  for (std::size_t unit = 0; unit < indices.size(); ++unit) {
    const std::size_t index = indices[unit];
    const at::Device device = parameters[index].value.device();
    const std::vector<std::int64_t> shape = output_first_shape(parameters[index]);
    const Calibration found = from_bytes(outcomes[unit], scale_shape(shape[0], shape[1], *plan[index].spec));
    const auto on_device = [&](const at::Tensor& values) { return values.defined() ? values.to(device) : values; };
    plan[index].calibration = {
        on_device(found.thresholds), on_device(mean_square(index)), on_device(found.scale_factors), {}, {}};
  }
}

std::vector<LayerRecord> describe_layers(const Student& student, const std::vector<LayerStatistics>& statistics,
                                         const std::vector<Parameter>& reference) {
  const at::NoGradGuard no_grad;
  std::vector<LayerRecord> table;
  for (std::size_t i = 0; i < student.parameters().size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    if (!parameter.spec || !parameter.spec->format->is_grid()) continue;
    const at::Tensor& against = reference.empty() ? parameter.master.detach() : reference.at(i).value;
    table.push_back(
        describe(parameter, find_statistics(statistics, i), as_output_first(against, parameter.input_first)));
  }
  return table;
}

}  // namespace tercet::job
