#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "tercet/train/loss.hpp"

namespace tercet {

StreamLoss stream_loss(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher, double weight) {
  constexpr double kSmallestSquare = 1e-12;
  at::Tensor sum;
  for (std::size_t block = 0; block < student.size(); ++block) {
    const at::Tensor target = teacher[block].detach().to(at::kFloat);
    const at::Tensor inverse = target.square().sum(-1).clamp_min(kSmallestSquare).reciprocal();
    const at::Tensor error = ((student[block].to(at::kFloat) - target).square().sum(-1) * inverse).sum();
    sum = block == 0 ? error : sum + error;
  }
  const auto blocks = static_cast<double>(student.size());
  return {sum * (weight / blocks), sum.item<double>() / blocks};
}

}  // namespace tercet
