// Newton-Schulz and friends in plain loops over doubles, for comparison.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace tercet::test {

struct Matrix {
  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c), 0.0) {}
  explicit Matrix(const at::Tensor& tensor) : Matrix(tensor.size(0), tensor.size(1)) {
    const at::Tensor dense = tensor.detach().to(at::kDouble).contiguous();
    values.assign(dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel());
  }
  double& at(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  double at(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * columns + c)]; }
  at::Tensor tensor() const {
    return at::from_blob(const_cast<double*>(values.data()), {rows, columns}, at::kDouble).clone();
  }
  std::int64_t rows, columns;
  std::vector<double> values;
};

inline Matrix multiply(const Matrix& a, const Matrix& b) {
  Matrix product(a.rows, b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t k = 0; k < a.columns; ++k) {
      for (std::int64_t j = 0; j < b.columns; ++j) product.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  return product;
}

inline Matrix transposed(const Matrix& a) {
  Matrix result(a.columns, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < a.columns; ++j) result.at(j, i) = a.at(i, j);
  }
  return result;
}

// X <- a X + b X X' X + c X X' X X' X on X / ||X||_F, without the trick of the smaller side.
inline Matrix newton_schulz_reference(Matrix x, int steps) {
  double square = 0;
  for (double value : x.values) square += value * value;
  for (double& value : x.values) value /= std::sqrt(square);
  for (int step = 0; step < steps; ++step) {
    const Matrix gram = multiply(x, transposed(x));
    const Matrix third = multiply(gram, x), fifth = multiply(gram, third);
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      x.values[i] = 3.4445 * x.values[i] - 4.7750 * third.values[i] + 2.0315 * fifth.values[i];
    }
  }
  return x;
}

}  // namespace tercet::test
