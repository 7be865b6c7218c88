#include "model/cached_attention.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>

#include "tercet/base/error.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet {

at::Tensor once_each(const at::Tensor& heads, std::int64_t kv_heads) {
  return heads.unflatten(1, {kv_heads, -1}).select(2, 0);
}

at::Tensor attend_last(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, std::int64_t window) {
  const std::int64_t positions = keys.size(1), head_dim = keys.size(2);
  const std::int64_t seen = window == 0 ? positions : std::min(window, positions);
  const at::Tensor near_keys = keys.narrow(1, positions - seen, seen);
  const at::Tensor near_values = values.narrow(1, positions - seen, seen);
  const at::Tensor grouped = query.view({keys.size(0), -1, head_dim}).to(keys.scalar_type());
  const at::Tensor scores = at::bmm(grouped, near_keys.transpose(1, 2)) / std::sqrt(static_cast<double>(head_dim));
  return at::bmm(at::softmax(scores, -1), near_values).view({1, 1, -1});
}

KeyValueCache::KeyValueCache(const ModelConfig& config, std::int64_t capacity, const std::string& device)
    : capacity_(capacity) {
  if (capacity < 1 || capacity > config.max_positions) {
    throw DataError("a sequence of " + std::to_string(capacity) + " positions cannot be generated",
                    "the model knows from 1 to " + std::to_string(config.max_positions),
                    "shorten the prompt, or ask for fewer tokens");
  }
  for (std::int64_t block = 0; block < config.layers; ++block) {
    for (auto* list : {&keys_, &values_}) {
      list->push_back(
          at::empty({config.kv_heads, capacity, config.head_dim}, at::TensorOptions(at::kFloat).device(device)));
    }
  }
}

std::uint64_t KeyValueCache::bytes() const {
  return keys_.empty() ? 0 : 2 * keys_.size() * keys_.front().nbytes();
}

}  // namespace tercet
