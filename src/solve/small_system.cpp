#include "solve/small_system.hpp"

#include <cmath>

namespace tercet::solve {

std::vector<double> SmallSystem::solve() const {
  std::vector<double> lower = matrix_;
  const auto at = [&](std::size_t i, std::size_t j) -> double& { return lower[i * size_ + j]; };
  std::vector<double> x = right_;
  for (std::size_t i = 0; i < size_; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t k = 0; k < j; ++k) at(i, j) -= at(i, k) * at(j, k);
      at(i, j) = i == j ? std::sqrt(at(i, i)) : at(i, j) / at(j, j);  // of a negative number: NaN, which spreads
    }
    for (std::size_t k = 0; k < i; ++k) x[i] -= at(i, k) * x[k];
    x[i] /= at(i, i);
  }
  for (std::size_t i = size_; i-- > 0;) {
    for (std::size_t k = i + 1; k < size_; ++k) x[i] -= at(k, i) * x[k];
    x[i] /= at(i, i);
  }
  return x;
}

double SmallSystem::objective(const std::vector<double>& x) const {
  double value = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    double row = -2 * right_[i];
    for (std::size_t j = 0; j < size_; ++j) row += matrix(i, j) * x[j];
    value += x[i] * row;
  }
  return value;
}

}  // namespace tercet::solve
