// Tiny random models of every family for the tests of this module.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <string>
#include <vector>

#include "tercet/model/decoder.hpp"

namespace tercet::test {

inline ModelConfig small_config(Family family) {
  ModelConfig c;
  c.family = family;
  c.vocab_size = 40;
  c.hidden_size = 24;
  c.intermediate_size = 36;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 6;
  c.max_positions = 64;
  const bool old = family == Family::kGpt2 || family == Family::kGptNeox;
  if (old) {
    c.kv_heads = c.heads;
    c.activation = family == Family::kGpt2 ? "gelu_tanh" : "gelu";
    c.attention_bias = c.attention_output_bias = c.mlp_bias = true;
  }
  if (family == Family::kGpt2 || family == Family::kQwen3) c.tied_head = true;
  if (family == Family::kQwen2) c.attention_bias = true;
  if (family == Family::kMistral) c.sliding_window = 5;
  if (family == Family::kGptNeox) {
    c.rotary_fraction = 0.34;  // 2 of 6
    c.parallel_residual = true;
  }
  return c;
}

inline const std::vector<Family>& all_families() {
  static const std::vector<Family> families{Family::kLlama, Family::kMistral, Family::kQwen2,
                                            Family::kQwen3, Family::kGpt2,    Family::kGptNeox};
  return families;
}

// [batch, positions], every id of the vocabulary in turn.
inline at::Tensor some_ids(std::int64_t batch, std::int64_t positions, std::int64_t vocabulary) {
  return at::arange(batch * positions, at::kLong).mul(7).remainder(vocabulary).view({batch, positions});
}

}  // namespace tercet::test
