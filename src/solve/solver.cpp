#include "tercet/solve/solver.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>

#include <cmath>
#include <optional>

#include "solve/compensate.hpp"
#include "solve/quadratic.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

void check_inputs(const at::Tensor& weight, const LayerStatistics& statistics, const FormatSpec& spec,
                  const SolverOptions& options) {
  const std::string layer = "layer '" + statistics.name + "'";
  if (!spec.format->is_grid() || weight.dim() != 2 || weight.numel() == 0) {
    throw DataError(layer + " cannot be solved", "it is not a matrix on a grid");
  }
  if (!weight.isfinite().all().item<bool>()) throw NumericError("the weights of " + layer + " hold NaN or Inf");
  const std::int64_t inputs = weight.size(1);
  if (statistics.mean_square.defined() && statistics.mean_square.sizes() != at::IntArrayRef({inputs})) {
    throw DataError("the statistics of " + layer + " are of another width");
  }
  if (statistics.mean_square.defined() && !statistics.mean_square.isfinite().all().item<bool>()) {
    throw NumericError("the mean squares of " + layer + " hold NaN or Inf");
  }
  if (options.method == SolveMethod::kRounding) return;
  if (spec.rule != ScaleRule::kCalibrated) throw DataError(layer + ": compensation needs the calibrated rule");
  if (!statistics.second_moment.defined() || statistics.second_moment.sizes() != at::IntArrayRef({inputs, inputs})) {
    throw DataError(layer + " has no second moment of its inputs");
  }
  if (!statistics.second_moment.isfinite().all().item<bool>()) {
    throw NumericError("the second moment of " + layer + " holds NaN or Inf");
  }
}

// sqrt(tr((W - Q) H (W - Q)') / tr(W H W')); column-weighted without a second moment.
double output_error(const at::Tensor& weight, const at::Tensor& quantized, const LayerStatistics& statistics) {
  if (!statistics.second_moment.defined()) {
    return measure_error(weight, quantized, statistics.mean_square).weighted_relative;
  }
  const at::Tensor whole = weight.to(at::kDouble), lost = whole - quantized.to(at::kDouble);
  const auto energy = [&](const at::Tensor& rows) {
    return (at::mm(rows, statistics.second_moment) * rows).sum().item<double>();
  };
  const double total = energy(whole);
  return total > 0 ? std::sqrt(std::max(0.0, energy(lost)) / total) : 0.0;
}

// The rule of the format. Without any input there is nothing to weigh errors by: columns then count equally.
LayerSolution by_rule(const at::Tensor& weight, const LayerStatistics& statistics, const FormatSpec& spec) {
  LayerSolution solution;
  solution.masters = weight;
  const bool any_input = statistics.mean_square.defined() && statistics.mean_square.max().item<float>() > 0;
  solution.calibration = calibrate_format(weight, spec, any_input ? statistics.mean_square : at::Tensor());
  solution.stored = store(weight, spec, solution.calibration);
  return solution;
}

// Levels and scales from fixing order to the order of the matrix.
QuantizedMatrix in_matrix_order(const solve::Assignment& assignment, const solve::ColumnOrder& order,
                                const FormatSpec& spec) {
  const auto by_block = [&](const at::Tensor& by_run) {
    at::Tensor values = at::empty_like(by_run);
    for (std::size_t position = 0; position < order.runs.size(); ++position)
      values.select(1, order.runs[position].index).copy_(by_run.select(1, static_cast<std::int64_t>(position)));
    return values;
  };
  const at::Tensor inverse = order.columns.argsort();
  at::Tensor levels = assignment.multiples.clone();
  for (std::size_t position = 0; position < order.runs.size(); ++position) {
    const auto r = static_cast<std::int64_t>(position);
    levels.slice(1, order.runs[position].begin, order.runs[position].end).add_(assignment.zeros.slice(1, r, r + 1));
  }
  at::Tensor scales = by_block(assignment.scales), zeros = by_block(assignment.zeros);
  if (spec.granularity == Granularity::kTensor) {
    scales = scales.select(1, 0).slice(0, 0, 1);
    zeros = zeros.select(1, 0).slice(0, 0, 1);
  }
  return {levels.index_select(1, inverse).to(at::kChar), scales.to(at::kHalf).contiguous(),
          spec.symmetric ? at::Tensor() : zeros.to(at::kChar).contiguous()};
}

// nullopt: no damping within the limit gave a factor; the report has the tries.
std::optional<LayerSolution> by_compensation(const at::Tensor& weight, const LayerStatistics& statistics,
                                             const FormatSpec& spec, const SolverOptions& options,
                                             LayerReport& report) {
  const at::Tensor diagonal = statistics.second_moment.diagonal().contiguous();
  const solve::ColumnOrder order = solve::order_columns(diagonal, spec, options.act_order);
  const at::Tensor moment = statistics.second_moment.index_select(0, order.columns).index_select(1, order.columns);
  const std::optional<solve::Quadratic> quadratic = solve::factorise(moment, options, report);
  if (!quadratic) return std::nullopt;
  const at::Tensor ordered = weight.to(at::kDouble).index_select(1, order.columns).contiguous();
  const solve::Grid grid(spec);
  solve::Assignment assignment = solve::compensate(ordered, *quadratic, order.runs, spec.granularity, grid);
  solve::improve(ordered, *quadratic, order.runs, spec.granularity, grid, options.sweeps, assignment);
  const QuantizedMatrix matrix = in_matrix_order(assignment, order, spec);
  const at::Tensor rounded = assignment.rounded.index_select(1, order.columns.argsort());
  const PinnedMatrix pinned = pin(rounded, matrix, spec, statistics.mean_square);
  LayerSolution solution;
  solution.stored = pack(matrix, spec);
  solution.masters = pinned.masters;
  solution.calibration = pinned.calibration;
  return solution;
}

}  // namespace

std::string to_string(SolveMethod method) {
  return method == SolveMethod::kRounding ? "rounding" : "compensated";
}

SolveMethod solve_method(const std::string& name) {
  for (const SolveMethod method : {SolveMethod::kRounding, SolveMethod::kCompensated}) {
    if (name == to_string(method)) return method;
  }
  throw DataError("unknown solver '" + name + "'", "", "known are rounding and compensated");
}

nlohmann::json to_json(const LayerReport& report) {
  auto tries = nlohmann::json::array();
  for (const DampingTry& attempt : report.tries)
    tries.push_back({{"damping", attempt.damping}, {"outcome", attempt.outcome}});
  return {{"name", report.name},
          {"method", report.method},
          {"error_rounding", report.error_rounding},
          {"error", report.error},
          {"damping", report.damping},
          {"tries", tries},
          {"dead_inputs", report.dead_inputs},
          {"sparsity", report.sparsity},
          {"fallback", report.fallback}};
}

LayerSolution solve_layer(const at::Tensor& weight, const LayerStatistics& statistics, const FormatSpec& spec,
                          const SolverOptions& options) {
  const at::NoGradGuard no_grad;
  check_inputs(weight, statistics, spec, options);
  const at::Tensor matrix = weight.detach().to(at::kCPU, at::kFloat).contiguous();
  LayerReport report;
  report.name = statistics.name;
  LayerSolution rounding = by_rule(matrix, statistics, spec);
  report.error_rounding = output_error(matrix, dequantize(rounding.stored), statistics);
  std::optional<LayerSolution> solution;
  if (options.method == SolveMethod::kCompensated) {
    const at::Tensor diagonal = statistics.second_moment.diagonal();
    report.dead_inputs = diagonal.eq(0).sum().item<std::int64_t>();
    if (report.dead_inputs == diagonal.size(0)) {
      report.fallback = "every input was zero in every token";
    } else {
      solution = by_compensation(matrix, statistics, spec, options, report);
      if (!solution) report.fallback = "the second moment has no factor at any damping up to the limit";
    }
  }
  if (solution) {
    report.error = output_error(matrix, dequantize(solution->stored), statistics);
    if (!(report.error <= report.error_rounding)) {
      report.fallback = "compensation is no better than rounding";
      solution.reset();
    }
  }
  report.method = solution ? "compensated" : "rounding";
  if (!solution) {
    report.error = report.error_rounding;
    report.damping = 0;
    solution = std::move(rounding);
  }
  solution->report = report;
  solution->report.sparsity = measure_error(matrix, dequantize(solution->stored)).sparsity;
  return *std::move(solution);
}

}  // namespace tercet
