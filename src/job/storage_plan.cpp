#include "storage_plan.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "layer_formats.hpp"
#include "provenance.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/store/unit_bytes.hpp"

namespace tercet::job {
namespace {

// The last row that names a matrix counts.
ChosenFormat format_of(const QuantizationSection& settings, const Parameter& parameter) {
  ChosenFormat chosen = usual_format(settings, parameter);
  for (std::size_t i = 0; i < settings.layers.size(); ++i) {
    if (!names(settings.layers[i], parameter)) continue;
    chosen = format_by_row(settings, settings.layers[i], "quantization.layers[" + std::to_string(i) + "]", parameter);
  }
  return chosen;
}

void keep_skipped(const QuantizationSection& settings, const std::vector<Parameter>& parameters,
                  std::vector<ChosenFormat>& formats) {
  for (const std::string& pattern : settings.skip) {
    bool used = false;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!matches(pattern, parameters[i].name)) continue;
      formats[i] = {};
      used = true;
    }
    if (used) continue;
    throw ConfigError("quantization.skip: '" + pattern + "' matches no parameter", "",
                      "names look like '" + parameters.back().name + "'; '*' and '?' are wildcards");
  }
  if (settings.format == "float16") return;  // a model that is meant to stay as it is
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (is_block_linear(parameters[i].role) && formats[i].spec.format->is_grid()) return;
  }
  throw ConfigError("quantization.skip leaves no layer to quantize", "",
                    "quantization.format: float16 keeps all of them on purpose");
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
  check_names("quantization.layers", settings.layers, parameters);
  std::vector<ChosenFormat> formats;
  for (const Parameter& parameter : parameters) formats.push_back(format_of(settings, parameter));
  keep_skipped(settings, parameters, formats);
  check_groups(formats, parameters);
  std::vector<ParameterPlan> plan;
  for (const ChosenFormat& chosen : formats) plan.push_back({chosen.spec, {}});
  return plan;
}

PackedModel unfilled_artifact(const JobConfig& config, const Decoder& model,
                              const std::vector<ParameterPlan>& storage) {
  PackedModel packed;
  packed.config = model.config();
  packed.activation_bits = static_cast<int>(config.quantization.activation_bits);
  packed.provenance = provenance_of(config, std::string(64, '0'));
  for (std::size_t i = 0; i < storage.size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    packed.tensors.push_back({parameter.name, to_string(parameter.role), parameter.input_first,
                              unfilled(output_first_shape(parameter), *storage[i].spec)});
  }
  return packed;
}

std::string storage_key(const std::vector<ParameterPlan>& storage) {
  std::string text;
  for (const ParameterPlan& entry : storage) {
    const FormatSpec& spec = *entry.spec;
    text += spec.format->name() + " " + to_string(spec.granularity) + " " + std::to_string(spec.group_size) + " " +
            to_string(spec.rule) + (spec.symmetric ? " symmetric\n" : "\n");
  }
  return sha256_hex(text).substr(0, 16);
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
  work.name = "thresholds/" + storage_key(plan);
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
