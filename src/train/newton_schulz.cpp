#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include "tercet/train/optimizer.hpp"

namespace tercet {

at::Tensor newton_schulz(const at::Tensor& matrix, std::int64_t steps, bool bfloat16) {
  const at::NoGradGuard no_grad;
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = tall ? matrix.t() : matrix;  // the Gram matrix is the smaller one
  x = x / (x.norm() + 1e-7);
  x = x.to(bfloat16 ? at::kBFloat16 : at::kFloat).contiguous();
  for (std::int64_t step = 0; step < steps; ++step) {
    const at::Tensor gram = at::mm(x, x.t());
    const at::Tensor polynomial = at::addmm(gram, gram, gram, kB, kC);
    x = at::addmm(x, polynomial, x, kA, 1.0);
  }
  x = x.to(at::kFloat);
  return tall ? x.t().contiguous() : x;
}

}  // namespace tercet
