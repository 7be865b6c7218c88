#include "storage_plan.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "layer_formats.hpp"
#include "provenance.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/store/unit_bytes.hpp"
#include "tercet/train/spill.hpp"

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
    std::vector<std::string> known;
    for (const Parameter& parameter : parameters) known.push_back(parameter.name);
    throw ConfigError("quantization.skip: '" + pattern + "' matches no parameter", near_names(pattern, known),
                      "'*' and '?' are wildcards");
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

at::Tensor mean_square_of(const std::vector<LayerStatistics>& statistics, std::size_t parameter) {
  const LayerStatistics* layer = find_statistics(statistics, parameter);
  return layer == nullptr ? at::Tensor() : layer->mean_square;
}

// All of them, or those of one block after the other where the weights are streamed.
std::vector<std::vector<std::size_t>> worked_on_at_once(const std::vector<Parameter>& parameters,
                                                        const std::vector<std::size_t>& indices) {
  const bool streams = std::any_of(indices.begin(), indices.end(),
                                   [&](std::size_t index) { return parameters[index].streamed != nullptr; });
  if (!streams) return {indices};
  std::vector<std::vector<std::size_t>> groups;
  for (const std::size_t index : indices) {
    if (groups.empty() || parameters[groups.back().front()].layer != parameters[index].layer) groups.emplace_back();
    groups.back().push_back(index);
  }
  return groups;
}

// Mean squares are few, and shared by layers.
Calibration found_in_file(Communicator& comm, const std::filesystem::path& file, const Calibration& found) {
  const std::vector<at::Tensor> views = spilled(comm, file, {found.thresholds, found.scale_factors});
  return {views[0], found.mean_square, views[1], {}, {}};
}

LayerRecord describe(const TrainedParameter& parameter, const at::Tensor& seen_value, const LayerStatistics* statistics,
                     const at::Tensor& reference) {
  const at::Tensor master = as_output_first(parameter.full_master(), parameter.input_first);
  const at::Tensor seen = as_output_first(seen_value, parameter.input_first);
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
                     std::vector<ParameterPlan>& plan, WorkLog* done, StopControl* stop,
                     const std::filesystem::path& folder) {
  const at::NoGradGuard no_grad;
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const bool in_scope = scope == CalibrationScope::kAll || !is_block_linear(parameters[i].role);
    if (in_scope && needs_calibration(plan[i])) wanted.push_back(i);
  }
  const std::string name = "thresholds/" + storage_key(plan);
  for (const std::vector<std::size_t>& indices : worked_on_at_once(parameters, wanted)) {
    UnitWork work;
    work.name = indices == wanted ? name : name + "/" + std::to_string(indices.front());
    work.count = indices.size();
    work.compute = [&](std::uint64_t unit) {
      const Parameter& parameter = parameters[indices[unit]];
      const at::Tensor weight = as_output_first(values_of(parameter), parameter.input_first).to(at::kCPU);
      const at::Tensor mean_square = mean_square_of(statistics, indices[unit]);
      return to_bytes(calibrate_format(weight, *plan[indices[unit]].spec, mean_square));
    };
    const std::vector<std::string> outcomes = run_units_for_all(comm, work, done, stop);
    for (std::size_t unit = 0; unit < indices.size(); ++unit) {
      const std::size_t index = indices[unit];
      const std::vector<std::int64_t> shape = output_first_shape(parameters[index]);
      Calibration found = from_bytes(outcomes[unit], scale_shape(shape[0], shape[1], *plan[index].spec));
      found.mean_square = mean_square_of(statistics, index);
      plan[index].calibration =
          parameters[index].streamed
              ? found_in_file(comm, folder / ("calibrated-" + std::to_string(index) + ".safetensors"), found)
              : on_device(found, parameters[index].value.device());
    }
  }
}

std::vector<LayerRecord> describe_layers(const Student& student, const std::vector<LayerStatistics>& statistics,
                                         const std::vector<Parameter>& reference) {
  const at::NoGradGuard no_grad;
  std::vector<LayerRecord> table;
  for (std::size_t i = 0; i < student.parameters().size(); ++i) {
    const TrainedParameter& parameter = student.parameters()[i];
    if (!parameter.spec || !parameter.spec->format->is_grid()) continue;
    const at::Tensor against = reference.empty() ? parameter.full_master() : values_of(reference.at(i));
    table.push_back(describe(parameter, values_of(student.decoder().parameters()[i]).detach(),
                             find_statistics(statistics, i), as_output_first(against, parameter.input_first)));
  }
  return table;
}

}  // namespace tercet::job
