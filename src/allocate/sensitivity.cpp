#include "tercet/allocate/sensitivity.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <cmath>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/log/log.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/store/unit_bytes.hpp"

namespace tercet {
namespace {

at::Tensor output_first(const Parameter& parameter) {
  const at::Tensor value = parameter.value.detach().to(at::kCPU);
  return (parameter.input_first ? value.t() : value).contiguous();
}

struct Quantized {
  at::Tensor value;  // [out, in]
  double error = 0;  // of the output, relative
};

class SensitivityRun {
 public:
  SensitivityRun(const Decoder& model, const std::vector<LayerStatistics>& statistics,
                 const std::vector<FreeLayer>& layers, const SensitivityOptions& options,
                 const std::function<void(std::uint64_t index, std::span<std::int64_t> ids)>& sample)
      : model_(model), statistics_(statistics), layers_(layers), options_(options), sample_(sample) {}

  // One number per format.
  std::string losses_of(std::uint64_t layer) const {
    const FreeLayer& free = layers_[layer];
    std::vector<Quantized> quantized;
    for (const FormatSpec& spec : free.formats) {
      quantized.push_back(quantize(free.parameter, spec));
      heartbeat::beat();
    }
    ByteWriter bytes;
    for (const double loss :
         options_.measure == Sensitivity::kKl ? divergences(free.parameter, quantized) : squares_of_errors(quantized)) {
      if (!std::isfinite(loss)) {
        throw NumericError("the loss of '" + model_.parameters()[free.parameter].name + "' in a format is not finite");
      }
      bytes.add(loss);
    }
    return bytes.take();
  }

 private:
  const LayerStatistics* statistics_of(std::size_t parameter) const {
    const auto found = std::find_if(statistics_.begin(), statistics_.end(),
                                    [&](const LayerStatistics& layer) { return layer.parameter == parameter; });
    return found == statistics_.end() ? nullptr : &*found;
  }

  Quantized quantize(std::size_t index, const FormatSpec& spec) const {
    const Parameter& parameter = model_.parameters()[index];
    const LayerStatistics* statistics = statistics_of(index);
    const at::Tensor weight = output_first(parameter);
    const bool solved = options_.solver.method == SolveMethod::kCompensated && is_block_linear(parameter.role);
    if (solved && spec.format->is_grid()) {
      if (statistics == nullptr) throw DataError("layer '" + parameter.name + "' has no statistics to solve it by");
      const LayerSolution solution = solve_layer(weight, *statistics, spec, options_.solver);
      return {dequantize(solution.stored), solution.report.error};
    }
    const at::Tensor mean_square = statistics == nullptr ? at::Tensor() : statistics->mean_square;
    const at::Tensor value = dequantize(store(weight, spec, calibration_of(weight, spec, mean_square)));
    return {value, measure_error(weight, value, mean_square).weighted_relative};
  }

  static Calibration calibration_of(const at::Tensor& weight, const FormatSpec& spec, const at::Tensor& mean_square) {
    Calibration calibration = calibrate_format(weight, spec, mean_square);
    calibration.mean_square = mean_square;
    return calibration;
  }

  static std::vector<double> squares_of_errors(const std::vector<Quantized>& quantized) {
    std::vector<double> losses;
    for (const Quantized& each : quantized) losses.push_back(each.error * each.error);
    return losses;
  }

  // Up to the layer's block all models are the same, unless the layer is outside the blocks.
  std::vector<double> divergences(std::size_t index, const std::vector<Quantized>& quantized) const {
    const int block = std::max(0, model_.parameters()[index].layer);
    const bool inside = model_.parameters()[index].layer >= 0;
    std::vector<double> sums(quantized.size());
    for (std::int64_t begin = 0; begin < options_.samples; begin += options_.batch) {
      const at::Tensor ids = read(begin, std::min(options_.batch, options_.samples - begin));
      at::Tensor stream = model_.embed(ids);
      for (int i = 0; i < block; ++i) stream = model_.block(i, stream);
      const at::Tensor log_p = log_probabilities(model_.forward_from(block, stream));
      const at::Tensor p = log_p.exp();
      for (std::size_t format = 0; format < quantized.size(); ++format) {
        const Decoder changed = with(index, quantized[format].value);
        const at::Tensor log_q = log_probabilities(inside ? changed.forward_from(block, stream) : changed.forward(ids));
        sums[format] += (p * (log_p - log_q)).sum(at::kDouble).item<double>();
        heartbeat::beat();
      }
    }
    for (double& sum : sums) sum /= static_cast<double>(options_.samples * options_.sequence_length);
    return sums;
  }

  Decoder with(std::size_t index, const at::Tensor& value) const {
    Decoder changed = model_;  // parameters are shared, and one of them replaced
    Parameter& parameter = changed.parameters()[index];
    parameter.value = (parameter.input_first ? value.t().contiguous() : value).to(parameter.value.device());
    return changed;
  }

  at::Tensor read(std::int64_t begin, std::int64_t count) const {
    const auto length = static_cast<std::size_t>(options_.sequence_length);
    at::Tensor ids = at::empty({count, options_.sequence_length}, at::kLong);
    auto* data = ids.mutable_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < count; ++i) {
      sample_(options_.first_sample + static_cast<std::uint64_t>(begin + i),
              {data + static_cast<std::size_t>(i) * length, length});
    }
    return ids.to(model_.device());
  }

  static at::Tensor log_probabilities(const at::Tensor& logits) { return at::log_softmax(logits.to(at::kFloat), -1); }

  const Decoder& model_;
  const std::vector<LayerStatistics>& statistics_;
  const std::vector<FreeLayer>& layers_;
  const SensitivityOptions& options_;
  const std::function<void(std::uint64_t index, std::span<std::int64_t> ids)>& sample_;
};

}  // namespace

Sensitivity sensitivity(const std::string& name) {
  if (name == "kl") return Sensitivity::kKl;
  if (name == "error") return Sensitivity::kError;
  throw DataError("unknown sensitivity '" + name + "'", "", "known are kl and error");
}

std::vector<std::vector<double>> measure_sensitivities(
    Communicator& comm, const Decoder& model, const std::vector<LayerStatistics>& statistics,
    const std::vector<FreeLayer>& layers, const SensitivityOptions& options,
    const std::function<void(std::uint64_t index, std::span<std::int64_t> ids)>& sample) {
  const at::NoGradGuard no_grad;
  const SensitivityRun run(model, statistics, layers, options, sample);
  log::Progress progress("sensitivity", layers.size(), "layers");
  UnitWork work;
  work.name = "sensitivity";
  work.count = layers.size();
  work.compute = [&](std::uint64_t layer) { return run.losses_of(layer); };
  work.progress = [&](std::uint64_t done, std::uint64_t) {
    progress.update(std::min<std::uint64_t>(layers.size(), done * static_cast<std::uint64_t>(comm.size())));
  };
  const std::vector<std::string> outcomes = run_units_for_all(comm, work, options.done, options.stop);
  std::vector<std::vector<double>> losses;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    ByteReader bytes(outcomes[layer]);
    std::vector<double>& row = losses.emplace_back();
    for (std::size_t format = 0; format < layers[layer].formats.size(); ++format) row.push_back(bytes.number<double>());
    bytes.finish();
  }
  return losses;
}

}  // namespace tercet
