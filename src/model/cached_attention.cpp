#include "model/cached_attention.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "model/attention_cpu.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet {

namespace {

std::int64_t tiles_of(std::int64_t positions) {
  return (positions + kKeptTile - 1) / kKeptTile;
}

bool in_tiles(const KeptHeads& kept) {
  return kept.keys.dim() == 4;
}

// Of heads [1, heads, positions, head_dim] in which each of `kv_heads` stands several times in a row: each once.
at::Tensor once_each(const at::Tensor& heads, std::int64_t kv_heads) {
  return heads.unflatten(1, {kv_heads, -1}).select(2, 0)[0];
}

void keep_keys_in_tiles(const at::Tensor& kept, std::int64_t first, const at::Tensor& keys) {
  const std::int64_t positions = keys.size(1), tiles = tiles_of(positions);
  if (positions == 1) {
    kept.select(1, first / kKeptTile).select(2, first % kKeptTile).copy_(keys.select(1, 0));
    return;
  }
  const at::Tensor whole = at::constant_pad_nd(keys, {0, 0, 0, tiles * kKeptTile - positions});
  kept.narrow(1, 0, tiles).copy_(whole.unflatten(1, {tiles, kKeptTile}).transpose(2, 3));
}

at::Tensor attend_in_tiles(const at::Tensor& query, const KeptHeads& kept, std::int64_t first, std::int64_t end) {
  const std::int64_t kv_heads = kept.keys.size(0), head_dim = kept.keys.size(2);
  const at::Tensor asked = query.contiguous();
  at::Tensor out = at::empty({1, 1, asked.numel()}, asked.options());
  LastPosition work{};
  work.queries = query.size(1) / kv_heads;
  work.head_dim = head_dim;
  work.width = kept.values.size(2);
  work.first = first;
  work.end = end;
  constexpr std::int64_t kGrainWork = 1 << 16;  // products: below it a thread is not worth waking
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainWork / (2 * work.queries * (end - first) * head_dim));
  at::parallel_for(0, kv_heads, grain, [&](std::int64_t begin, std::int64_t last) {
    for (std::int64_t head = begin; head < last; ++head) {
      LastPosition mine = work;
      mine.query = asked.const_data_ptr<float>() + head * work.queries * head_dim;
      mine.keys = kept.keys.const_data_ptr<float>() + head * kept.keys.stride(0);
      mine.values = kept.values.const_data_ptr<float>() + head * kept.values.stride(0);
      mine.out = out.mutable_data_ptr<float>() + head * work.queries * head_dim;
      attention_last(mine);
    }
  });
  return out;
}

}  // namespace

KeptHeads room_for_heads(std::int64_t kv_heads, std::int64_t capacity, std::int64_t head_dim,
                         const std::string& device) {
  const at::TensorOptions options = at::TensorOptions(at::kFloat).device(device);
  if (!c10::Device(device).is_cpu() || !attention_cpu_supported()) {
    return {at::empty({kv_heads, capacity, head_dim}, options), at::empty({kv_heads, capacity, head_dim}, options)};
  }
  // Zeros: what lies beside the heads is multiplied, too, and then passed over.
  return {at::zeros({kv_heads, tiles_of(capacity), head_dim, kKeptTile}, options),
          at::zeros({kv_heads, capacity, tiles_of(head_dim) * kKeptTile}, options)};
}

void keep_heads(const KeptHeads& kept, std::int64_t first, const at::Tensor& key, const at::Tensor& value) {
  const std::int64_t kv_heads = kept.keys.size(0), positions = key.size(2);
  const at::Tensor keys = once_each(key, kv_heads), values = once_each(value, kv_heads);
  kept.values.narrow(1, first, positions).narrow(2, 0, values.size(2)).copy_(values);
  in_tiles(kept) ? keep_keys_in_tiles(kept.keys, first, keys) : void(kept.keys.narrow(1, first, positions).copy_(keys));
}

at::Tensor attend_last(const at::Tensor& query, const KeptHeads& kept, std::int64_t positions, std::int64_t window) {
  const std::int64_t first = window == 0 ? 0 : std::max<std::int64_t>(0, positions - window);
  if (in_tiles(kept)) return attend_in_tiles(query.to(at::kFloat), kept, first, positions);
  const at::Tensor keys = kept.keys.narrow(1, first, positions - first);
  const at::Tensor values = kept.values.narrow(1, first, positions - first);
  const std::int64_t head_dim = keys.size(2);
  const at::Tensor grouped = query.view({keys.size(0), -1, head_dim}).to(keys.scalar_type());
  const at::Tensor scores = at::bmm(grouped, keys.transpose(1, 2)) / std::sqrt(static_cast<double>(head_dim));
  return at::bmm(at::softmax(scores, -1), values).view({1, 1, -1});
}

KeyValueCache::KeyValueCache(const ModelConfig& config, std::int64_t capacity, const std::string& device)
    : capacity_(capacity) {
  if (capacity < 1 || capacity > config.max_positions) {
    throw DataError("a sequence of " + std::to_string(capacity) + " positions cannot be generated",
                    "the model knows from 1 to " + std::to_string(config.max_positions),
                    "shorten the prompt, or ask for fewer tokens");
  }
  for (std::int64_t block = 0; block < config.layers; ++block) {
    const KeptHeads room = room_for_heads(config.kv_heads, capacity, config.head_dim, device);
    keys_.push_back(room.keys);
    values_.push_back(room.values);
  }
}

std::uint64_t KeyValueCache::bytes() const {
  return keys_.empty() ? 0 : keys_.size() * (keys_.front().nbytes() + values_.front().nbytes());
}

}  // namespace tercet
