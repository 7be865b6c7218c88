#include "tercet/comm/reproducible_sum.hpp"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

constexpr int kBits = 60;  // of 63: one for the rounding of the shards, one for partial sums above the bound, one spare
// Within these exponents both 2^-k and bound / 2^k are normal numbers. A bound below 2^-900 counts as 2^-900.
constexpr int kLeastExponent = -900;

std::int64_t quantize(double value, double scale) {
  return std::llrint(value * scale);
}

[[noreturn]] void beyond_bound(double value, double bound) {
  std::ostringstream reason;
  reason << value << " against the bound " << bound;
  throw NumericError("a partial sum is not finite or exceeds the bound given for the whole sum", reason.str(),
                     "look for NaN or Inf in the model's activations, or for a bound that missed some data");
}

[[noreturn]] void unequal(std::int64_t partial, std::int64_t accumulators) {
  throw NumericError(std::to_string(partial) + " partial sums cannot be added to " + std::to_string(accumulators) +
                     " accumulators");
}

}  // namespace

FixedPointGrid::FixedPointGrid(double bound) : bound_(bound), exponent_(0) {
  if (!std::isfinite(bound) || bound < 0) {
    std::ostringstream reason;
    reason << "it is " << bound;
    throw NumericError("the bound of a reproducible sum must be finite and not negative", reason.str(),
                       "look for NaN or Inf in the model's activations");
  }
  int exponent = kLeastExponent;
  if (bound > 0) std::frexp(bound, &exponent);  // bound < 2^exponent
  exponent_ = std::max(exponent, kLeastExponent) - kBits;
}

void FixedPointGrid::add(std::span<const double> partial, std::span<std::int64_t> accumulators) const {
  if (partial.size() != accumulators.size()) {
    unequal(static_cast<std::int64_t>(partial.size()), static_cast<std::int64_t>(accumulators.size()));
  }
  const double scale = std::ldexp(1.0, -exponent_);
  for (std::size_t i = 0; i < partial.size(); ++i) {
    if (!(std::abs(partial[i]) <= 2 * bound_)) beyond_bound(partial[i], bound_);  // also NaN
    accumulators[i] += quantize(partial[i], scale);
  }
}

// In pieces, so that the float64 and int64 copies stay in the cache and a large matrix needs no memory for them.
void FixedPointGrid::add(const at::Tensor& partial, const at::Tensor& accumulators) const {
  constexpr std::int64_t kPiece = std::int64_t{1} << 16;
  if (partial.numel() != accumulators.numel()) unequal(partial.numel(), accumulators.numel());
  if (accumulators.scalar_type() != at::kLong || !accumulators.is_contiguous()) {
    throw NumericError("reproducible sums need contiguous int64 accumulators");
  }
  const double scale = std::ldexp(1.0, -exponent_);
  const std::int64_t piece = accumulators.is_cpu() ? kPiece : std::max<std::int64_t>(1, accumulators.numel());
  const at::Tensor from = partial.detach().reshape({-1});
  const at::Tensor to = accumulators.view({-1});
  for (std::int64_t begin = 0; begin < to.numel(); begin += piece) {
    const std::int64_t count = std::min(piece, to.numel() - begin);
    const at::Tensor part = from.narrow(0, begin, count).to(at::kDouble);
    const double largest = part.abs().max().item<double>();
    if (!(largest <= 2 * bound_)) beyond_bound(largest, bound_);
    to.narrow(0, begin, count).add_(part.mul(scale).round_().to(at::kLong));
  }
}

std::vector<double> FixedPointGrid::values(std::span<const std::int64_t> accumulators) const {
  std::vector<double> result(accumulators.size());
  const double quantum = std::ldexp(1.0, exponent_);
  std::transform(accumulators.begin(), accumulators.end(), result.begin(),
                 [&](std::int64_t sum) { return static_cast<double>(sum) * quantum; });
  return result;
}

at::Tensor FixedPointGrid::values(const at::Tensor& accumulators) const {
  return accumulators.to(at::kDouble).mul_(std::ldexp(1.0, exponent_));
}

ReproducibleSum::ReproducibleSum(at::IntArrayRef shape, double bound, at::Device device)
    : grid_(bound), accumulators_(at::zeros(shape, at::TensorOptions().dtype(at::kLong).device(device))) {}

void ReproducibleSum::add(std::span<const double> partial) {
  if (!accumulators_.is_cpu()) throw NumericError("a host array cannot be added to a sum on a device");
  grid_.add(partial, {accumulators_.mutable_data_ptr<std::int64_t>(), static_cast<std::size_t>(accumulators_.numel())});
}

}  // namespace tercet
