// The training loss: Kullback-Leibler divergence to the teacher at temperature 1, mixed with next-token cross-entropy,
// and the distance of the residual streams from the teacher's.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace tercet {

struct LossResult {
  at::Tensor loss;               // scalar with a graph: kl_weight * (weighted) kl_sum + ce_weight * cross_entropy_sum
  double kl_sum = 0;             // nats, over all positions, each counted once; 0 without a teacher
  double cross_entropy_sum = 0;  // nats, over the positions that have a successor
};

// student [batch, positions, vocab] (float32 or bfloat16, with a graph), teacher the same shape without one (undefined:
// cross-entropy alone), ids [batch, positions] int64. Each term is a sum over its positions; KL runs over all
// positions, cross-entropy over those with a successor. `kl_weight` and `ce_weight` multiply the sums, and
// `position_weights` (float32 [batch, positions] on the host; undefined: 1) the KL of each position. One pass over the
// logits computes the loss and its gradient w.r.t. the student's logits:
//   dKL/dz = softmax(z) - softmax(z_teacher),  dCE/dz = softmax(z) - onehot(next)     (Hinton et al. 2015, eq. 2 at T =
//   1)
LossResult distillation_loss(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& ids,
                             double kl_weight, double ce_weight, const at::Tensor& position_weights = {});

// Token-scaled distillation (Kim et al. 2023, arXiv:2308.06744): the share of each position in a sequence's KL is
// softmax(c / 10) over its positions, c the teacher's cross-entropy at the next token, times the number of positions,
// so that weights are 1 on average; the last position, whose successor is unknown, has weight 1. float32 [batch,
// positions] on the host.
at::Tensor token_scaled_weights(const at::Tensor& teacher, const at::Tensor& ids);

struct StreamLoss {
  at::Tensor loss;       // scalar with a graph: weight * error_sum
  double error_sum = 0;  // over positions: mean over blocks of |student - teacher|^2 / |teacher|^2 of the position
};

// student, teacher: the residual stream after each block [batch, positions, hidden]. Relative to the teacher's square
// at each position, so that neither a large position nor a large block drowns the others and the split into
// micro-batches does not matter.
StreamLoss stream_loss(const std::vector<at::Tensor>& student, const std::vector<at::Tensor>& teacher, double weight);

// What relation_loss needs of a block's attention: each [batch, heads, positions, head_dim].
struct AttentionHeads {
  at::Tensor query, key, value;
};

struct RelationLoss {
  at::Tensor loss;            // scalar with a graph: weight * divergence_sum
  double divergence_sum = 0;  // nats, over positions: mean over query, key, value and heads
};

// Attention relations (MiniLMv2, Wang et al. 2020, arXiv:2012.15828, eq. 3-4; of one late block as in BitDistill, Wu et
// al. 2025, arXiv:2510.13998): for each of query, key and value A, R = softmax(A A' / sqrt(head_dim)) of each head over
// the positions of its sequence; KL(R_teacher || R_student). The teacher's without a graph.
RelationLoss relation_loss(const AttentionHeads& student, const AttentionHeads& teacher, double weight);

}  // namespace tercet
