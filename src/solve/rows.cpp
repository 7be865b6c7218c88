#include "solve/rows.hpp"

#include "tercet/base/simd.hpp"

namespace tercet::solve {

TERCET_EXACT_CLONES void add_scaled(double* y, const double* x, double factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += factor * x[i];
}

TERCET_EXACT_CLONES double dot(const double* x, const double* y, std::int64_t count) {
  constexpr std::int64_t kLanes = 8;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * y[i + lane];
  }
  for (std::int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += x[i] * y[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace tercet::solve
