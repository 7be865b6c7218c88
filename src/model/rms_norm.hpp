// Root-mean-square norm over the last dimension (Zhang and Sennrich 2019), with the residual addition before it.
#pragma once

#include <ATen/core/Tensor.h>

namespace tercet {

struct NormResult {
  at::Tensor sum;         // residual + delta, type of the residual; the residual itself without a delta
  at::Tensor normalised;  // weight * sum / sqrt(mean(sum^2) + epsilon), in the type asked for
};

// residual [..., d]; delta of the same shape in `type`, or undefined; weight [d].
NormResult add_rms_norm(const at::Tensor& residual, const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                        at::ScalarType type);

// The same from plain ATen operations: what GPUs run and tests compare with.
NormResult add_rms_norm_reference(const at::Tensor& residual, const at::Tensor& delta, const at::Tensor& weight,
                                  double epsilon, at::ScalarType type);

}  // namespace tercet
