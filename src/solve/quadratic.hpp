// The problem that one layer poses to compensation: columns in the order in which they are fixed, the damped second
// moment H of their inputs, and the factor of its inverse.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "tercet/solve/solver.hpp"

namespace tercet::solve {

// A run of columns, in fixing order, that shares the scale `index` of a row.
struct ScaleRun {
  std::int64_t begin = 0, end = 0, index = 0;
};

struct ColumnOrder {
  at::Tensor columns;  // int64 [in]: columns[k] is fixed k-th
  std::vector<ScaleRun> runs;
};
// By mean input energy `diagonal` (float64 [in]), largest first, ties by position; groups stay together.
ColumnOrder order_columns(const at::Tensor& diagonal, const FormatSpec& spec, bool act_order);

struct Quadratic {
  at::Tensor hessian;  // float64 [in, in], damped, in fixing order
  at::Tensor factor;   // float64 [in, in] upper, U'U = hessian^-1
};
// Raises the damping until the factor exists and is finite. Every try is added to the report; nullopt: none held.
std::optional<Quadratic> factorise(const at::Tensor& second_moment, const SolverOptions& options, LayerReport& report);

}  // namespace tercet::solve
