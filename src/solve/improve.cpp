// Sweeps over the levels of a row with all others held, and least-squares scales between them: coordinate descent on
// (w - q) H (w - q)', where q = s T with T the multiples of the scale.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "solve/compensate.hpp"
#include "solve/rows.hpp"
#include "solve/small_system.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::solve {
namespace {

class RowImprover {
 public:
  RowImprover(const double* hessian, std::int64_t columns, const std::vector<ScaleRun>& runs, const Grid& grid)
      : hessian_(hessian),
        columns_(columns),
        runs_(runs),
        grid_(grid),
        products_(runs.size() * static_cast<std::size_t>(columns)) {}

  void start(const double* weight, double* multiples, double* scales, const double* zeros, double* rounded) {
    multiples_ = multiples;
    scales_ = scales;
    zeros_ = zeros;
    rounded_ = rounded;
    target_.assign(static_cast<std::size_t>(columns_), 0);
    for (std::int64_t j = 0; j < columns_; ++j) add_scaled(target_.data(), hessian_row(j), weight[j], columns_);
    multiply();
  }

  // The scales of least error for these levels, if that is still less once they are rounded as stored. A scale that
  // would change its sign, or is not finite, stands for a block that the data say nothing about.
  void refit() {
    const SmallSystem system = normal_equations();
    std::vector<double> scales = system.solve();
    for (std::size_t g = 0; g < scales.size(); ++g) {
      if (!(scales[g] * scales_[g] > 0) || !std::isfinite(scales[g])) return;
      scales[g] = as_stored_scale(scales[g], grid_);
    }
    if (!(system.objective(scales) < system.objective({scales_, scales_ + runs_.size()}))) return;
    std::copy(scales.begin(), scales.end(), scales_);
  }

  // For each run, s' A s - 2 b' s is the error up to a constant: A_gh = T_g H T_h', b_g = T_g H w'.
  SmallSystem normal_equations() const {
    SmallSystem system(runs_.size());
    for (std::size_t g = 0; g < runs_.size(); ++g) {
      for (std::size_t h = 0; h < runs_.size(); ++h) {
        const ScaleRun& run = runs_[h];
        system.matrix(g, h) = dot(product(g) + run.begin, multiples_ + run.begin, run.end - run.begin);
      }
      const ScaleRun& run = runs_[g];
      system.right(g) = dot(target_.data() + run.begin, multiples_ + run.begin, run.end - run.begin);
    }
    return system;
  }

  // Each level with all others held. Returns whether one changed.
  bool sweep() {
    std::vector<double> residual = target_;  // H (w - q)'
    for (std::size_t g = 0; g < runs_.size(); ++g) add_scaled(residual.data(), product(g), -scales_[g], columns_);
    bool changed = false;
    for (std::size_t g = 0; g < runs_.size(); ++g) {
      for (std::int64_t k = runs_[g].begin; k < runs_[g].end; ++k)
        changed |= revisit(k, {scales_[g], zeros_[g]}, residual.data());
    }
    if (changed) multiply();
    return changed;
  }

 private:
  const double* hessian_row(std::int64_t k) const { return hessian_ + k * columns_; }
  const double* product(std::size_t g) const { return products_.data() + g * static_cast<std::size_t>(columns_); }

  void multiply() {  // products_[g] = H T_g'
    std::fill(products_.begin(), products_.end(), 0.0);
    for (std::size_t g = 0; g < runs_.size(); ++g) {
      double* sum = products_.data() + g * static_cast<std::size_t>(columns_);
      for (std::int64_t k = runs_[g].begin; k < runs_[g].end; ++k) {
        if (multiples_[k] != 0) add_scaled(sum, hessian_row(k), multiples_[k], columns_);
      }
    }
  }

  bool revisit(std::int64_t k, const BlockScale& block, double* residual) {
    const double* row = hessian_row(k);
    rounded_[k] = block.scale * multiples_[k] + residual[k] / row[k];
    const double multiple = nearest_multiple(rounded_[k], block, grid_);
    if (multiple == multiples_[k]) return false;
    add_scaled(residual, row, -block.scale * (multiple - multiples_[k]), columns_);
    multiples_[k] = multiple;
    return true;
  }

  const double* hessian_;
  std::int64_t columns_;
  const std::vector<ScaleRun>& runs_;
  const Grid& grid_;
  double *multiples_ = nullptr, *scales_ = nullptr, *rounded_ = nullptr;
  const double* zeros_ = nullptr;
  std::vector<double> target_;    // H w'
  std::vector<double> products_;  // [runs, in]
};

// Calls body(improver, row) for rows in parallel, each improver started at the row.
template <typename Body>
void for_each_row(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
                  const Grid& grid, Assignment& a, Body body) {
  const std::int64_t columns = weight.size(1), per_row = a.scales.size(1);
  at::parallel_for(0, weight.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    RowImprover improver(quadratic.hessian.const_data_ptr<double>(), columns, runs, grid);
    for (std::int64_t row = begin; row < end; ++row) {
      heartbeat::beat();
      improver.start(
          weight.const_data_ptr<double>() + row * columns, a.multiples.mutable_data_ptr<double>() + row * columns,
          a.scales.mutable_data_ptr<double>() + row * per_row, a.zeros.const_data_ptr<double>() + row * per_row,
          a.rounded.mutable_data_ptr<double>() + row * columns);
      body(improver, row);
    }
  });
}

// One scale for all rows: the normal equations of the rows are added up, in the order of rows.
void refit_tensor(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
                  const Grid& grid, Assignment& a) {
  std::vector<SmallSystem> systems(static_cast<std::size_t>(weight.size(0)), SmallSystem(1));
  for_each_row(weight, quadratic, runs, grid, a, [&](RowImprover& improver, std::int64_t row) {
    systems[static_cast<std::size_t>(row)] = improver.normal_equations();
  });
  SmallSystem sum(1);
  for (const SmallSystem& system : systems) {
    sum.matrix(0, 0) += system.matrix(0, 0);
    sum.right(0) += system.right(0);
  }
  const double scale = sum.solve()[0], now = a.scales.const_data_ptr<double>()[0];
  if (!(scale * now > 0) || !std::isfinite(scale)) return;
  const double stored = as_stored_scale(scale, grid);
  if (sum.objective({stored}) < sum.objective({now})) a.scales.fill_(stored);
}

}  // namespace

void improve(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
             Granularity granularity, const Grid& grid, std::int64_t sweeps, Assignment& assignment) {
  if (granularity == Granularity::kTensor) {
    for (std::int64_t i = 0; i < sweeps; ++i) {
      refit_tensor(weight, quadratic, runs, grid, assignment);
      for_each_row(weight, quadratic, runs, grid, assignment,
                   [](RowImprover& improver, std::int64_t) { improver.sweep(); });
    }
    return;
  }
  for_each_row(weight, quadratic, runs, grid, assignment, [&](RowImprover& improver, std::int64_t) {
    bool changed = true;
    for (std::int64_t i = 0; i < sweeps && changed; ++i) {
      improver.refit();
      changed = improver.sweep();
    }
  });
}

}  // namespace tercet::solve
