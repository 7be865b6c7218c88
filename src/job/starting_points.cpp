#include "starting_points.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <map>

#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/train/spill.hpp"

namespace tercet::job {
namespace {

bool is_solved(const ParameterPlan& entry, const Parameter& parameter) {
  return is_block_linear(parameter.role) && entry.spec && entry.spec->format->is_grid();
}

at::Tensor in_layout_of(const Parameter& parameter, const at::Tensor& output_first, at::Device device) {
  const at::Tensor value = parameter.input_first ? output_first.t().contiguous() : output_first;
  return value.to(device);
}

std::shared_ptr<StreamedWeight> quantized_stream(const std::shared_ptr<StreamedWeight>& masters,
                                                 const ParameterPlan& entry, bool input_first) {
  return std::make_shared<StreamedWeight>([masters, entry, input_first] {
    const at::NoGradGuard no_grad;
    const at::Tensor master = masters->make();
    return quantized_value(master, *entry.spec, on_device(entry.calibration, master.device()), input_first);
  });
}

class StartingPoints {
 public:
  StartingPoints(Communicator& comm, const SolvingRun& run, Decoder& model, std::vector<ParameterPlan>& plan)
      : comm_(comm), run_(run), model_(model), plan_(plan), seen_(model.clone()) {
    seen_.set_activation_bits(model.activation_bits());
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (is_solved(plan[i], model.parameters()[i])) {
        blocks_[model.parameters()[i].layer].push_back(i);
      } else if (plan[i].spec) {
        quantize_unsolved(seen_.parameters()[i], plan[i]);
      }
    }
  }

  void solve_all(const std::vector<LayerStatistics>& statistics) {
    std::vector<std::size_t> every;
    for (const auto& [block, layers] : blocks_) every.insert(every.end(), layers.begin(), layers.end());
    solve(every, statistics);
  }

  void solve_by_block() {
    log::Progress progress("solve", blocks_.size(), "blocks");
    std::uint64_t done = 0;
    for (const auto& [block, layers] : blocks_) {
      solve(layers, statistics_of(block, layers));
      put_away(block, layers);
      progress.update(++done);
    }
  }

  std::vector<LayerReport> reports() const {
    std::vector<LayerReport> list;
    for (const auto& [index, report] : reports_) list.push_back(report);
    return list;
  }

 private:
  static void quantize_unsolved(Parameter& parameter, const ParameterPlan& entry) {
    if (parameter.streamed) {
      parameter.streamed = quantized_stream(parameter.streamed, entry, /*input_first=*/false);
      return;
    }
    const at::Tensor quantized = at::empty_like(parameter.value);
    fake_quantize(parameter.value, *entry.spec, entry.calibration, quantized);
    parameter.value = quantized;
  }

  // None where the log has every layer of the block.
  std::vector<LayerStatistics> statistics_of(int block, const std::vector<std::size_t>& layers) {
    std::vector<std::string> names;
    for (const std::size_t index : layers) names.push_back(model_.parameters()[index].name);
    const std::vector<int> known = ranks_that_know(comm_, names, run_.log);
    if (std::count(known.begin(), known.end(), -1) == 0) return {};
    CalibrationOptions options = run_.calibration;
    options.block = block;
    options.second_moment = true;
    return calibrate(comm_, seen_, options, run_.sample);
  }

  void solve(const std::vector<std::size_t>& layers, const std::vector<LayerStatistics>& statistics) {
    std::vector<LayerProblem> problems;
    for (const std::size_t index : layers) {
      const Parameter& parameter = model_.parameters()[index];
      LayerProblem problem{parameter.name, as_output_first(values_of(parameter), parameter.input_first).to(at::kCPU),
                           nullptr, *plan_[index].spec};
      for (const LayerStatistics& layer : statistics) {
        if (layer.parameter == index) problem.statistics = &layer;
      }
      problems.push_back(problem);
    }
    const std::vector<LayerSolution> solutions = solve_layers(comm_, problems, run_.solver, run_.log);
    for (std::size_t i = 0; i < layers.size(); ++i) take(layers[i], solutions[i]);
  }

  void take(std::size_t index, const LayerSolution& solution) {
    Parameter& parameter = model_.parameters()[index];
    if (!parameter.streamed) {
      parameter.value = in_layout_of(parameter, solution.masters, model_.device());
      seen_.parameters()[index].value = in_layout_of(parameter, dequantize(solution.stored), model_.device());
    } else {
      masters_[index] = in_layout_of(parameter, solution.masters, at::kCPU);
    }
    plan_[index].calibration = on_device(solution.calibration, parameter.streamed ? at::kCPU : model_.device());
    reports_[index] = solution.report;
  }

  // Collective. Of a model that streams: what was found for the block goes into a file and is streamed from there.
  void put_away(int block, const std::vector<std::size_t>& layers) {
    if (masters_.empty()) return;
    std::vector<at::Tensor> tensors;
    for (const std::size_t index : layers) {
      const Calibration& found = plan_[index].calibration;
      for (const at::Tensor& tensor :
           {masters_.at(index), found.thresholds, found.scale_factors, found.scales, found.zero_points})
        tensors.push_back(tensor);
    }
    const std::vector<at::Tensor> views =
        spilled(comm_, run_.folder / ("solved-" + std::to_string(block) + ".safetensors"), tensors);
    auto view = views.begin();
    for (const std::size_t index : layers) {
      Parameter& parameter = model_.parameters()[index];
      const auto make = [masters = *view++, device = model_.device()] {
        return masters.to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
      };
      Calibration& found = plan_[index].calibration;
      for (at::Tensor* part : {&found.thresholds, &found.scale_factors, &found.scales, &found.zero_points})
        *part = *view++;
      parameter.streamed = std::make_shared<StreamedWeight>(make);
      seen_.parameters()[index].streamed = quantized_stream(parameter.streamed, plan_[index], parameter.input_first);
    }
    masters_.clear();
  }

  Communicator& comm_;
  const SolvingRun& run_;
  Decoder& model_;
  std::vector<ParameterPlan>& plan_;
  Decoder seen_;                                    // as the quantized model so far
  std::map<int, std::vector<std::size_t>> blocks_;  // quantized matrices of each block
  std::map<std::size_t, at::Tensor> masters_;       // of the block under way, where the model streams
  std::map<std::size_t, LayerReport> reports_;
};

void say_summary(const std::vector<LayerReport>& reports) {
  double before = 0, after = 0;
  for (const LayerReport& report : reports) {
    before += report.error_rounding;
    after += report.error;
  }
  const auto count = static_cast<double>(reports.size());
  log::info("solved " + std::to_string(reports.size()) + " layers: mean relative error of their outputs " +
            format_fixed(before / count, 4) + " by rounding, " + format_fixed(after / count, 4) + " now");
}

}  // namespace

SolverOptions solver_options(const QuantizationSection& settings) {
  SolverOptions options;
  options.method = solve_method(settings.solver);
  options.damping = settings.solver_damping;
  options.act_order = settings.solver_act_order;
  options.sweeps = settings.solver_sweeps;
  return options;
}

std::vector<LayerReport> solve_starting_points(Communicator& comm, const SolvingRun& run,
                                               const std::vector<LayerStatistics>& statistics, Decoder& model,
                                               std::vector<ParameterPlan>& plan) {
  const at::NoGradGuard no_grad;
  StartingPoints points(comm, run, model, plan);
  if (run.sequential) {
    points.solve_by_block();
  } else {
    points.solve_all(statistics);
  }
  const std::vector<LayerReport> reports = points.reports();
  say_summary(reports);
  return reports;
}

nlohmann::json solver_record(const std::vector<LayerReport>& reports) {
  auto layers = nlohmann::json::array(), fallbacks = nlohmann::json::array();
  for (const LayerReport& report : reports) {
    layers.push_back(to_json(report));
    if (!report.fallback.empty()) fallbacks.push_back({{"name", report.name}, {"reason", report.fallback}});
  }
  return {{"layers", layers}, {"fallbacks", fallbacks}};
}

// Solved in sequence, each block has statistics of its own; sensitivities go by those of the original in any case.
bool needs_second_moments(const JobConfig& config) {
  const bool by_originals_inputs = !config.quantization.solver_sequential || has_target(config);
  return config.calibration.second_moment || (config.quantization.solver == "compensated" && by_originals_inputs);
}

}  // namespace tercet::job
