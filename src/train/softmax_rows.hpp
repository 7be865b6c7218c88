// Row-wise softmax arithmetic of the loss on the host, vectorised by the compiler for each instruction set.
#pragma once

#include <cstdint>

namespace tercet::train {

// values[i] = exp(logits[i] - max), returns {max, sum of values}. `values` may be `logits`.
struct SoftmaxRow {
  float max = 0;
  double sum = 0;
};
SoftmaxRow exponentials(const float* logits, float* values, std::int64_t count);

// sum_i p_i (log p_i - log q_i) with p, q given by their exponentials and logits.
double divergence(const float* p_logits, const float* p_values, SoftmaxRow p, const float* q_logits, SoftmaxRow q,
                  std::int64_t count);

// gradient_i = (kl + ce) * q_i / q.sum - kl * p_i / p.sum (p may be null with kl = 0). `gradient` may be `q_values`.
void logit_gradient(const float* p_values, double p_sum, const float* q_values, double q_sum, float kl, float ce,
                    float* gradient, std::int64_t count);

}  // namespace tercet::train
