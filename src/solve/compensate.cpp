// GPTQ column by column. A tile of rows shares each row of the factor while it is in the cache; updates of columns
// beyond the block under way are applied block-wise, in the same order as one by one, hence with the same bits.
#include "solve/compensate.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "solve/rows.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::solve {
namespace {

constexpr std::int64_t kTileRows = 8;
constexpr std::int64_t kBlockColumns = 128;

struct Matrices {
  std::int64_t columns, runs;
  const double* factor;
  double *work, *multiples, *scales, *zeros, *rounded;
  const Grid& grid;

  double* work_row(std::int64_t row) const { return work + row * columns; }
  const double* factor_row(std::int64_t k) const { return factor + k * columns; }
  BlockScale block(std::int64_t row, std::int64_t position) const {
    return {scales[row * runs + position], zeros[row * runs + position]};
  }
  void set_block(std::int64_t row, std::int64_t position, const BlockScale& block) const {
    scales[row * runs + position] = block.scale;
    zeros[row * runs + position] = block.zero;
  }
};

// What the error of column k costs once those after it have made good what they can: 1 / U_kk^2.
std::vector<double> importance_of(const Matrices& m, std::int64_t begin, std::int64_t end) {
  std::vector<double> importance;
  for (std::int64_t k = begin; k < end; ++k) {
    const double pivot = m.factor_row(k)[k];
    importance.push_back(1 / (pivot * pivot));
  }
  return importance;
}

void fit_rows(const Matrices& m, const ScaleRun& run, std::int64_t position, std::int64_t first, std::int64_t last) {
  const std::vector<double> importance = importance_of(m, run.begin, run.end);
  for (std::int64_t row = first; row < last; ++row) {
    const double* weights = m.work_row(row);
    m.set_block(row, position, fit_scale({weights + run.begin, weights + run.end}, importance, m.grid));
  }
}

// Columns [begin, end) of one row; errors[k - begin] is what the columns after `end` still have to make good.
void fix_columns(const Matrices& m, std::int64_t row, const BlockScale& block, std::int64_t begin, std::int64_t end,
                 double* errors) {
  double* work = m.work_row(row);
  for (std::int64_t k = begin; k < end; ++k) {
    const double multiple = nearest_multiple(work[k], block, m.grid);
    m.multiples[row * m.columns + k] = multiple;
    m.rounded[row * m.columns + k] = work[k];
    const double error = (work[k] - block.scale * multiple) / m.factor_row(k)[k];
    errors[k - begin] = error;
    add_scaled(work + k + 1, m.factor_row(k) + k + 1, -error, end - k - 1);
  }
}

void fix_tile(const Matrices& m, const std::vector<ScaleRun>& runs, bool fit, std::int64_t first, std::int64_t last) {
  double errors[kTileRows][kBlockColumns];
  heartbeat::beat();
  for (std::size_t position = 0; position < runs.size(); ++position) {
    const ScaleRun& run = runs[position];
    if (fit) fit_rows(m, run, static_cast<std::int64_t>(position), first, last);
    for (std::int64_t begin = run.begin; begin < run.end; begin += kBlockColumns) {
      const std::int64_t end = std::min(run.end, begin + kBlockColumns);
      for (std::int64_t row = first; row < last; ++row) {
        fix_columns(m, row, m.block(row, static_cast<std::int64_t>(position)), begin, end, errors[row - first]);
      }
      for (std::int64_t k = begin; k < end; ++k) {
        for (std::int64_t row = first; row < last; ++row) {
          add_scaled(m.work_row(row) + end, m.factor_row(k) + end, -errors[row - first][k - begin], m.columns - end);
        }
      }
    }
  }
}

void fit_whole_tensor(const Matrices& m, std::int64_t rows) {
  std::vector<double> importance;
  const std::vector<double> of_row = importance_of(m, 0, m.columns);
  for (std::int64_t row = 0; row < rows; ++row) importance.insert(importance.end(), of_row.begin(), of_row.end());
  const BlockScale block = fit_scale({m.work, m.work + rows * m.columns}, importance, m.grid);
  for (std::int64_t row = 0; row < rows; ++row) m.set_block(row, 0, block);
}

}  // namespace

Assignment compensate(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
                      Granularity granularity, const Grid& grid) {
  const std::int64_t rows = weight.size(0), columns = weight.size(1);
  const at::Tensor work = weight.clone();
  const at::Tensor per_run = at::empty({rows, static_cast<std::int64_t>(runs.size())}, at::kDouble);
  Assignment result{at::empty_like(work), per_run, at::empty_like(per_run), at::empty_like(work)};
  const Matrices m{columns,
                   static_cast<std::int64_t>(runs.size()),
                   quadratic.factor.const_data_ptr<double>(),
                   work.mutable_data_ptr<double>(),
                   result.multiples.mutable_data_ptr<double>(),
                   result.scales.mutable_data_ptr<double>(),
                   result.zeros.mutable_data_ptr<double>(),
                   result.rounded.mutable_data_ptr<double>(),
                   grid};
  const bool per_tensor = granularity == Granularity::kTensor;
  if (per_tensor) fit_whole_tensor(m, rows);
  at::parallel_for(0, (rows + kTileRows - 1) / kTileRows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = begin; tile < end; ++tile) {
      fix_tile(m, runs, !per_tensor, tile * kTileRows, std::min(rows, (tile + 1) * kTileRows));
    }
  });
  return result;
}

}  // namespace tercet::solve
