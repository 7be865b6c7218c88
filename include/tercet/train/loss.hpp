// The training loss: Kullback-Leibler divergence to the teacher at temperature 1, mixed with next-token cross-entropy.
#pragma once

#include <ATen/core/Tensor.h>

namespace tercet {

struct LossResult {
  at::Tensor loss;               // scalar with a graph: kl_weight * kl_sum + ce_weight * cross_entropy_sum
  double kl_sum = 0;             // nats, over all positions; 0 without a teacher
  double cross_entropy_sum = 0;  // nats, over the positions that have a successor
};

// student [batch, positions, vocab] (float32 or bfloat16, with a graph), teacher the same shape without one (undefined:
// cross-entropy alone), ids [batch, positions] int64. Each term is a sum over its positions; KL runs over all
// positions, cross-entropy over those with a successor. `kl_weight` and `ce_weight` multiply the sums. One pass over
// the logits computes the loss and its gradient w.r.t. the student's logits:
//   dKL/dz = softmax(z) - softmax(z_teacher),  dCE/dz = softmax(z) - onehot(next)     (Hinton et al. 2015, eq. 2 at T =
//   1)
LossResult distillation_loss(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids,
                             double kl_weight, double ce_weight);

}  // namespace tercet
