// Causal attention of one head in fp32, forward and backward, as blocks of small matrix products that stay in cache.
// ATen's CPU attention reaches a tenth of a core's speed on the short heads of small models.
#pragma once

#include <cstdint>

namespace tercet {

struct AttentionShape {
  std::int64_t heads, positions, head_dim;
  std::int64_t window;  // position i attends to (i - window, i]
};

// query, key, value and their gradients [batch, heads, positions, head_dim]; out and its gradient [batch, positions,
// heads * head_dim]; log_sums [batch, heads, positions]: log of the softmax's denominator.
struct AttentionForward {
  const float *query, *key, *value;
  float *out, *log_sums;
};
struct AttentionBackward {
  const float *query, *key, *value, *out, *log_sums, *out_grad;
  float *query_grad, *key_grad, *value_grad;
};

// One position that attends to those from `first` to before `end`, for the heads of queries that share one of keys and
// values. keys [tiles, head_dim, kKeptTile] of the positions from 0 on; values [end, width], width a multiple of
// kKeptTile, where what is not of the head is finite.
inline constexpr std::int64_t kKeptTile = 32;
struct LastPosition {
  std::int64_t queries, head_dim, width, first, end;
  const float *query, *keys, *values;  // query [queries, head_dim]
  float* out;                          // [queries, head_dim]
};

bool attention_cpu_supported();  // AVX2 and FMA, or AVX-512
void attention_forward(const AttentionShape& shape, const AttentionForward& work, std::int64_t batch,
                       std::int64_t head);
void attention_backward(const AttentionShape& shape, const AttentionBackward& work, std::int64_t batch,
                        std::int64_t head);
void attention_last(const LastPosition& work);

}  // namespace tercet
