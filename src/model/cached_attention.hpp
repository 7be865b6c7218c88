// Attention of one new position to all that a KeyValueCache holds.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace tercet {

// Keys and values of one block. On a CPU whose loops attention_cpu.hpp has: keys in tiles of positions [kv_heads,
// tiles, head_dim, kKeptTile], values [kv_heads, capacity, head_dim rounded up to kKeptTile]; so both are read once,
// one row after the other. Elsewhere both [kv_heads, capacity, head_dim].
struct KeptHeads {
  at::Tensor keys, values;
};

KeptHeads room_for_heads(std::int64_t kv_heads, std::int64_t capacity, std::int64_t head_dim,
                         const std::string& device);

// Puts those of the next positions, key and value [1, heads, positions, head_dim] in which each head stands several
// times in a row, behind the `first` that are there: one position, or any number from 0 on.
void keep_heads(const KeptHeads& kept, std::int64_t first, const at::Tensor& key, const at::Tensor& value);

// query [1, heads, 1, head_dim] of the last of `positions`. Attends to the last `window` of them, 0: to all. Result
// [1, 1, heads * head_dim], as attend() gives it for this position.
at::Tensor attend_last(const at::Tensor& query, const KeptHeads& kept, std::int64_t positions, std::int64_t window);

}  // namespace tercet
