// The best scale of one block of weights, given how much the error of each counts.
#pragma once

#include <cstdint>
#include <vector>

namespace tercet::solve {

// A scale as it is stored: fp16, never zero.
double as_stored_scale(double scale);

// Minimises sum_j d_j (w_j - s T_j)^2 over s and T in {-1, 0, 1}: for any number of non-zeros the largest |w| are kept,
// with s = sum d|w| / sum d over them, so the best of `count` candidates in order of magnitude is the best of all
// 3^count. The result is rounded as it is stored. With only zeros, the smallest scale.
double fit_scale(const std::vector<double>& weights, const std::vector<double>& importance);

// The trit nearest to w / s; half to zero.
inline double nearest_trit(double weight, double scale) {
  return weight > 0.5 * scale ? 1.0 : weight < -0.5 * scale ? -1.0 : 0.0;
}

}  // namespace tercet::solve
