// From the joined projection to the heads that attention wants: split, rotate (RoPE, Su et al. 2021), repeat shared
// key/value heads. One pass over memory instead of a dozen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tercet {

// Where head h of q, k and v starts among the columns of the joined projection: offset + h * stride.
struct HeadLayout {
  std::int64_t heads = 0;     // of q
  std::int64_t kv_heads = 0;  // of k and v; divides heads
  std::int64_t head_dim = 0;
  std::int64_t stride = 0;
  std::int64_t key_offset = 0;
  std::int64_t value_offset = 0;

  static HeadLayout blocks(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim);  // all q, all k, all v
  static HeadLayout interleaved(std::int64_t heads, std::int64_t head_dim);                    // q, k, v of each head
};

struct Heads {
  at::Tensor query, key, value;  // [batch, heads, positions, head_dim]; k and v repeated to the heads of q
};

// qkv [batch, positions, columns]; cos, sin [positions, rotary/2] fp32 or undefined (no rotation). The first `rotary`
// elements of q and k heads are rotated, element i with element i + rotary/2. On a CPU the result is fp32 (fp64 for
// fp64): attention there is faster and more exact than in bfloat16.
Heads split_heads(const at::Tensor& qkv, const HeadLayout& layout, const at::Tensor& cos, const at::Tensor& sin);
Heads split_heads_reference(const at::Tensor& qkv, const HeadLayout& layout, const at::Tensor& cos,
                            const at::Tensor& sin);  // plain ATen operations, type of qkv

}  // namespace tercet
