// The normal equations of the scales of one row: a dense symmetric system of a few dozen unknowns.
#pragma once

#include <cstddef>
#include <vector>

namespace tercet::solve {

class SmallSystem {
 public:
  explicit SmallSystem(std::size_t size) : size_(size), matrix_(size * size), right_(size) {}

  double& matrix(std::size_t row, std::size_t column) { return matrix_[row * size_ + column]; }
  double matrix(std::size_t row, std::size_t column) const { return matrix_[row * size_ + column]; }
  double& right(std::size_t row) { return right_[row]; }
  double right(std::size_t row) const { return right_[row]; }

  // x with A x = b by Cholesky; NaN where A is not positive definite (a run without non-zeros).
  std::vector<double> solve() const;
  double objective(const std::vector<double>& x) const;  // x' A x - 2 b' x

 private:
  std::size_t size_;
  std::vector<double> matrix_, right_;
};

}  // namespace tercet::solve
