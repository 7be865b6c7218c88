// Sums that have the same bits for any number of ranks.
//
// Floating-point addition rounds after every step, so its result depends on the order, and the order on the number of
// ranks. Integer addition does not. Each logical shard's partial sum p is therefore rounded once to an integer multiple
// of a quantum 2^k, and only integers are added, on a rank and between ranks, in any order.
//
//   Given |total of all |p|| <= bound < 2^E, the quantum is 2^(E - 60):
//   sum |round(p / 2^k)| <= 2^60 + shards / 2 < 2^62 for up to 2^62 shards, so no addition overflows,
//   and the error of the total is at most shards * 2^(k - 1), i.e. shards * bound * 2^-60.
//
// What the caller owes: the shards do not depend on the number of ranks, nor does the arithmetic inside one (same
// threads), and `bound` is the same number on all ranks, e.g. count * absmax^2 with both reduced exactly (sum of
// integers, maximum). Partial sums are computed with rounding, so up to twice the bound is accepted.
//
// The idea is the fixed-point summation of Hallberg and Adhianto, Parallel Computing 40 (2014), with one word.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "tercet/comm/communicator.hpp"

namespace tercet {

// The grid of multiples of 2^exponent() that belongs to a bound. Throws NumericError unless bound is finite and >= 0.
class FixedPointGrid {
 public:
  explicit FixedPointGrid(double bound);
  int exponent() const { return exponent_; }

  // accumulators[i] += round(partial[i] / 2^exponent). Throws NumericError when a partial sum is NaN or beyond twice
  // the bound, or when the sizes differ.
  void add(std::span<const double> partial, std::span<std::int64_t> accumulators) const;
  // The same with tensors of one shape and device: float64 (or float32) partial sums, contiguous int64 accumulators.
  void add(const at::Tensor& partial, const at::Tensor& accumulators) const;

  std::vector<double> values(std::span<const std::int64_t> accumulators) const;
  at::Tensor values(const at::Tensor& accumulators) const;  // float64

 private:
  double bound_;
  int exponent_;
};

// Accumulators with their grid: add every shard of this rank, then all_reduce once, then read the values.
class ReproducibleSum {
 public:
  // `bound` is on the sum over all shards of all ranks of |partial|, elementwise.
  ReproducibleSum(at::IntArrayRef shape, double bound, at::Device device = at::kCPU);

  void add(const at::Tensor& partial) { grid_.add(partial, accumulators_); }
  void add(std::span<const double> partial);                                             // host only; row-major
  void all_reduce(Communicator& comm) { comm.all_reduce(accumulators_, Reduce::kSum); }  // collective

  at::Tensor values() const { return grid_.values(accumulators_); }  // float64, of the shape given
  const at::Tensor& accumulators() const { return accumulators_; }

 private:
  FixedPointGrid grid_;
  at::Tensor accumulators_;
};

}  // namespace tercet
