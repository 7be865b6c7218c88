// Starting points of layers on a grid: levels, scales, zero points, and the masters that fine-tuning begins with.
//
//   rounding      the rule of the format (quant/format.hpp); with `calibrated`, thresholds and scales are searched for
//                 with errors weighted by the inputs
//   compensated   columns are fixed one after the other, and what rounding one loses is made good by those that follow:
//                 the least error of the layer's output, tr((W - Q) H (W - Q)') with H = X'X, under that order (GPTQ,
//                 Frantar et al. 2022, arXiv:2210.17323), scales fitted per block of columns just before they are
//                 fixed; then sweeps that revisit every level with all others held, and all scales of a row at once
//
// H + lambda I is factorised, lambda = damping * mean(diag H). When that fails, or its result is not finite, lambda is
// raised tenfold up to `max_damping`; after that, or when compensation is no better than rounding, the layer takes the
// calibrated rule, and the report says why.
//
// All arithmetic is fp64 on the host, in an order that depends on neither threads nor ranks. Memory: 4 d_in^2 doubles.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tercet/calib/calibrate.hpp"
#include "tercet/quant/format.hpp"

namespace tercet {

enum class SolveMethod { kRounding, kCompensated };
std::string to_string(SolveMethod method);          // "rounding", "compensated"
SolveMethod solve_method(const std::string& name);  // throws DataError

struct SolverOptions {
  SolveMethod method = SolveMethod::kCompensated;
  double damping = 0.01;     // first lambda, in units of the mean of the diagonal
  double max_damping = 1.0;  // last one that is tried
  // Columns with the largest inputs first; with groups, the groups by their sum and the columns inside each.
  bool act_order = true;
  std::int64_t sweeps = 4;  // after compensation; 0: GPTQ alone
};

struct DampingTry {
  double damping = 0;
  std::string outcome;  // "solved", "not positive definite", "not finite"
};

struct LayerReport {
  std::string name;
  std::string method;         // what the layer got in the end
  double error_rounding = 0;  // of the output: sqrt(tr((W - Q) H (W - Q)') / tr(W H W')), calibrated rule
  double error = 0;           // of what the layer got
  double damping = 0;         // 0 without compensation
  std::vector<DampingTry> tries;
  std::int64_t dead_inputs = 0;  // that were zero in every token
  double sparsity = 0;
  std::string fallback;  // why compensation was given up; empty: it was not
};
nlohmann::json to_json(const LayerReport& report);

struct LayerSolution {
  StoredTensor stored;
  at::Tensor masters;       // float32 [out, in]; store(masters, spec, calibration) is `stored`
  Calibration calibration;  // ternary: thresholds and factors; integers: the scales and zero points, fixed
  LayerReport report;
};

// `weight` is [out, in] on the host. The format must be a grid, and its rule `calibrated` for compensation, which also
// needs the second moment. Throws DataError otherwise, NumericError when weight or statistics hold NaN or Inf.
LayerSolution solve_layer(const at::Tensor& weight, const LayerStatistics& statistics, const FormatSpec& spec,
                          const SolverOptions& options);

// A solution as bytes, for broadcasts and logs; solution_from_bytes throws DataError for anything else.
std::string to_bytes(const LayerSolution& solution);
LayerSolution solution_from_bytes(std::string_view bytes);

}  // namespace tercet
