// The best scale and zero point of one block of weights, given how much the error of each counts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tercet/quant/format.hpp"

namespace tercet::solve {

// What a block's levels may be. A value is scale * multiple, where multiple = level - zero point.
struct Grid {
  explicit Grid(const FormatSpec& spec);

  bool is_ternary() const { return lowest == -1 && highest == 1; }
  // One level has no counterpart: a negative scale gives another grid.
  bool mirrors() const { return symmetric && lowest != -highest; }

  double lowest, highest;
  bool symmetric;
};

struct BlockScale {
  double scale = 0, zero = 0;
};

// A scale as it is stored: fp16, never zero, and such that the largest level's value stays within fp16.
double as_stored_scale(double scale, const Grid& grid);

// Minimises sum_j d_j (w_j - value_j)^2 over scale and zero point, each value the nearest. The result is rounded as it
// is stored.
//   ternary    exact: for any number of non-zeros the largest |w| are kept, with s = sum d|w| / sum d over them, so the
//              best of `count` candidates in order of magnitude is the best of all 3^count
//   otherwise  the block's range shrunk by 1, 0.975 .. 0.35, of both signs where they give different grids; the best of
//              these is improved by least squares for its own levels, as long as that lowers the error
// With only zeros, the smallest scale.
BlockScale fit_scale(const std::vector<double>& weights, const std::vector<double>& importance, const Grid& grid);

// The multiple nearest to w / s; half to even.
inline double nearest_multiple(double weight, const BlockScale& block, const Grid& grid) {
  const double multiple = std::nearbyint(weight / block.scale);
  return std::min(std::max(multiple, grid.lowest - block.zero), grid.highest - block.zero);
}

}  // namespace tercet::solve
