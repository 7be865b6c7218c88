// Attention of one new position to all that a KeyValueCache holds.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tercet {

// Of heads [batch, heads, positions, head_dim] in which each of `kv_heads` stands several times in a row: each once.
at::Tensor once_each(const at::Tensor& heads, std::int64_t kv_heads);

// query [1, heads, 1, head_dim] of the last position; keys, values [kv_heads, positions, head_dim] of all, it included.
// Attends to the last `window` of them, 0: to all. Result [1, 1, heads * head_dim], as attend() gives it for this
// position.
at::Tensor attend_last(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, std::int64_t window);

}  // namespace tercet
