#include "solve/quadratic.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

namespace tercet::solve {
namespace {

// LAPACK may cut its work differently for another number of threads, which then shows in the last bits.
class OneThread {
 public:
  OneThread() : threads_(at::get_num_threads()) { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(threads_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;
};

// U with U'U = hessian^-1. With J the reversal of rows, J hessian J = L L' gives hessian = R R' with R = J L J upper,
// so U = R^-1: no inverse of hessian is formed. nullopt: not positive definite.
std::optional<at::Tensor> inverse_factor(const at::Tensor& hessian) {
  const OneThread guard;
  const auto [lower, info] = at::linalg_cholesky_ex(hessian.flip({0, 1}));
  if (info.item<std::int64_t>() != 0) return std::nullopt;
  const at::Tensor identity = at::eye(hessian.size(0), hessian.options());
  return at::linalg_solve_triangular(lower.flip({0, 1}).contiguous(), identity, /*upper=*/true).contiguous();
}

void sort_by_energy(std::vector<std::int64_t>& items, const std::vector<double>& energy) {
  std::stable_sort(items.begin(), items.end(), [&](std::int64_t a, std::int64_t b) {
    return energy[static_cast<std::size_t>(a)] > energy[static_cast<std::size_t>(b)];
  });
}

std::vector<std::int64_t> counting(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(end - begin));
  std::iota(numbers.begin(), numbers.end(), begin);
  return numbers;
}

}  // namespace

ColumnOrder order_columns(const at::Tensor& diagonal, const FormatSpec& spec, bool act_order) {
  const std::int64_t columns = diagonal.size(0), groups = blocks_per_row(columns, spec);
  const std::int64_t width = spec.granularity == Granularity::kGroup ? spec.group_size : columns;
  const std::vector<double> energy(diagonal.const_data_ptr<double>(), diagonal.const_data_ptr<double>() + columns);
  std::vector<double> group_energy(static_cast<std::size_t>(groups));
  for (std::int64_t j = 0; j < columns; ++j)
    group_energy[static_cast<std::size_t>(j / width)] += energy[static_cast<std::size_t>(j)];
  std::vector<std::int64_t> group_order = counting(0, groups);
  if (act_order) sort_by_energy(group_order, group_energy);
  std::vector<std::int64_t> order;
  ColumnOrder result;
  for (const std::int64_t group : group_order) {
    std::vector<std::int64_t> members = counting(group * width, std::min(columns, (group + 1) * width));
    if (act_order) sort_by_energy(members, energy);
    const auto begin = static_cast<std::int64_t>(order.size());
    order.insert(order.end(), members.begin(), members.end());
    result.runs.push_back({begin, static_cast<std::int64_t>(order.size()), group});
  }
  result.columns = at::tensor(order, at::kLong);
  return result;
}

std::optional<Quadratic> factorise(const at::Tensor& second_moment, const SolverOptions& options, LayerReport& report) {
  const double mean = second_moment.diagonal().mean().item<double>();
  constexpr double kLeastRaised = 1e-6;  // after a first try without damping
  for (double damping = options.damping; damping <= options.max_damping * (1 + 1e-9);
       damping = std::max(10 * damping, kLeastRaised)) {
    Quadratic quadratic{second_moment.clone(), {}};
    quadratic.hessian.diagonal().add_(damping * mean);
    const std::optional<at::Tensor> factor = inverse_factor(quadratic.hessian);
    if (factor && factor->isfinite().all().item<bool>()) {
      report.tries.push_back({damping, "solved"});
      report.damping = damping;
      quadratic.factor = *factor;
      return quadratic;
    }
    report.tries.push_back({damping, factor ? "not finite" : "not positive definite"});
  }
  return std::nullopt;
}

}  // namespace tercet::solve
