// Causal attention over heads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tercet {

// query, key, value [batch, heads, positions, head_dim]. Position i attends to (i - window, i]; window 0: to all up to
// i. mask says the same as bool [positions, positions] (true: may attend), undefined without a window. Scores are
// scaled by 1/sqrt(head_dim). Result [batch, positions, heads * head_dim]. fp32 on a CPU with AVX2 or better runs own
// loops (attention_cpu.hpp), everything else ATen's.
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& mask,
                  std::int64_t window);

// Always at::scaled_dot_product_attention.
at::Tensor attend_reference(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& mask);

}  // namespace tercet
