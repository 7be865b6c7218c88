// Layers with correlated inputs for the tests of solve.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include <cstdint>
#include <string>

#include "tercet/solve/solver.hpp"

namespace tercet::test {

inline at::Tensor normal_double(std::uint64_t seed, at::IntArrayRef shape) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}

// Inputs [tokens, width]: independent normals plus a few directions that all channels share.
inline at::Tensor correlated_inputs(std::uint64_t seed, std::int64_t tokens, std::int64_t width) {
  return normal_double(seed, {tokens, width}) * 0.5 +
         at::mm(normal_double(seed + 1, {tokens, 3}), normal_double(seed + 2, {3, width}));
}

inline LayerStatistics statistics_of(const at::Tensor& inputs) {
  LayerStatistics statistics;
  statistics.name = "layer";
  statistics.count = inputs.size(0);
  statistics.mean_square = inputs.square().mean(0).to(at::kFloat);
  statistics.second_moment = at::mm(inputs.t(), inputs);
  return statistics;
}

inline FormatSpec spec_by(Granularity granularity, std::int64_t group = 16, const std::string& format = "ternary",
                          bool symmetric = true) {
  return {number_format(format), granularity, group, ScaleRule::kCalibrated, symmetric};
}

// Of the errors of all rows, as the second moment weighs them.
inline double energy(const at::Tensor& lost, const at::Tensor& hessian) {
  return (at::mm(lost, hessian) * lost).sum().item<double>();
}

inline at::Tensor weights(std::uint64_t seed, std::int64_t rows, std::int64_t columns) {
  return (normal_double(seed, {rows, columns}) * 0.05).to(at::kFloat);
}

// tr((W - Q) H (W - Q)').
inline double output_energy(const at::Tensor& weight, const StoredTensor& stored, const LayerStatistics& statistics) {
  const at::Tensor lost = weight.to(at::kDouble) - dequantize(stored).to(at::kDouble);
  return (at::mm(lost, statistics.second_moment) * lost).sum().item<double>();
}

}  // namespace tercet::test
