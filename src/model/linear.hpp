// Linear layers that share an input, as one matrix product: q, k, v and gate, up.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tercet {

// x [tokens, d_in] in the compute type; weights [out_i, d_in] (or [d_in, out_i] if input_first); biases [out_i] or
// undefined. Result [tokens, sum of out_i] in the type of x. Weights are converted once per call; their gradients come
// back in their own type. Without gradients, one token is multiplied with each weight where it lies.
at::Tensor linear_group(const at::Tensor& x, const std::vector<at::Tensor>& weights,
                        const std::vector<at::Tensor>& biases, bool input_first);

}  // namespace tercet
