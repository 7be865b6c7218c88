#include "model/forward_pass.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "model/activation_quantization.hpp"
#include "model/attention.hpp"
#include "model/cached_attention.hpp"
#include "model/dtype.hpp"
#include "model/heads.hpp"
#include "model/linear.hpp"
#include "model/rms_norm.hpp"
#include "model/swiglu.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {
namespace {

at::Tensor activate(const at::Tensor& x, const std::string& activation) {
  if (activation == "gelu") return at::gelu(x);
  if (activation == "gelu_tanh") return at::gelu(x, "tanh");
  if (activation == "relu") return at::relu(x);
  return at::silu(x);
}

}  // namespace

// That of the matrices inside the blocks, or autocast's.
at::ScalarType ForwardPass::activation_type(const Decoder& decoder) {
  const PartTable& block = decoder.shared_->layout.blocks.front();
  const bool fused = block[Part::kFusedQkv].weight != kAbsent;
  const Parameter& matrix = decoder.parameters_[block[fused ? Part::kFusedQkv : Part::kQuery].weight];
  if (matrix.packed != nullptr) return at::kFloat;
  return compute_type(matrix.streamed ? decoder.parameters_.front().value : matrix.value);  // of the same type
}

ForwardPass::ForwardPass(const Decoder& decoder, KeyValueCache* cache, ForwardTap* tap)
    : decoder_(decoder),
      cache_(cache),
      tap_(tap),
      config_(decoder.config_),
      traits_(family_traits(decoder.config_.family)),
      type_(activation_type(decoder)),
      no_autocast_(c10::autocast_dispatch_keyset) {}

at::Tensor ForwardPass::block_after(const at::Tensor& stream, int index) const {
  const PositionTables tables = position_tables(stream);
  Stream result{stream, {}};
  block(decoder_.shared_->layout.blocks.at(static_cast<std::size_t>(index)), tables, result);
  return result.residual + result.pending;
}

ForwardPass::Stream ForwardPass::stream_after(const at::Tensor& ids, int blocks) const {
  if (ids.dim() != 2)
    throw DataError("token ids must be [batch, positions]", std::to_string(ids.dim()) + " dimensions");
  const auto& layout = decoder_.shared_->layout;
  const PositionTables tables = position_tables(ids);
  Stream stream{embed(ids), {}};
  for (int i = 0; i < blocks; ++i) {
    heartbeat::beat();
    block(layout.blocks.at(static_cast<std::size_t>(i)), tables, stream);
    if (tap_ == nullptr || !tap_->wants_streams) continue;
    stream = {stream.residual + stream.pending, {}};
    tap_->streams.push_back(stream.residual);
  }
  return stream;
}

at::Tensor ForwardPass::hidden_states(const at::Tensor& ids) const {
  const auto& layout = decoder_.shared_->layout;
  Stream stream = stream_after(ids, static_cast<int>(layout.blocks.size()));
  return norm(layout.outer[Part::kFinalNorm], stream);
}

// Of the positions that `stream` [batch, positions, ...] is about.
PositionTables ForwardPass::position_tables(const at::Tensor& stream) const {
  const std::int64_t first = cache_ == nullptr ? 0 : cache_->length_, length = stream.size(1);
  if (first == 0) return decoder_.shared_->positions.get(config_, length, stream.device());
  PositionTables all = decoder_.shared_->positions.get(config_, cache_->capacity_, stream.device());
  if (!all.cos.defined()) return {};
  return {all.cos.narrow(0, first, length), all.sin.narrow(0, first, length), {}};
}

at::Tensor ForwardPass::hidden_states_from(const at::Tensor& stream, int first) const {
  const auto& layout = decoder_.shared_->layout;
  const PositionTables tables = position_tables(stream);
  Stream result{stream, {}};
  for (auto i = static_cast<std::size_t>(first); i < layout.blocks.size(); ++i) block(layout.blocks[i], tables, result);
  return norm(layout.outer[Part::kFinalNorm], result);
}

at::Tensor ForwardPass::embed(const at::Tensor& ids) const {
  const PartTable& outer = decoder_.shared_->layout.outer;
  const Parameter& table = decoder_.parameters_[outer[Part::kEmbedding].weight];
  at::Tensor tokens = table.packed ? table.packed->values_of_rows(ids.flatten().contiguous())
                                         .view({ids.size(0), ids.size(1), config_.hidden_size})
                                   : at::embedding(table.value, ids);
  if (tokens.scalar_type() == at::kBFloat16) tokens = tokens.to(at::kFloat);  // the residual stream stays exact
  if (!traits_.learned_positions) return tokens;
  const std::int64_t first = cache_ == nullptr ? 0 : cache_->length_;
  if (first + ids.size(1) > config_.max_positions) {
    throw DataError("a sequence of " + std::to_string(first + ids.size(1)) + " tokens is too long for the model",
                    "it has " + std::to_string(config_.max_positions) + " learned positions",
                    "lower the sequence length");
  }
  return tokens + value(outer[Part::kPositions].weight).narrow(0, first, ids.size(1));
}

void ForwardPass::block(const PartTable& parts, const PositionTables& tables, Stream& stream) const {
  const BlockHold held = decoder_.hold_block(static_cast<int>(&parts - decoder_.shared_->layout.blocks.data()));
  const at::Tensor attended = attention(parts, tables, norm(parts[Part::kAttentionNorm], stream));
  if (config_.parallel_residual) {  // GPT-NeoX: both halves read the same stream
    stream.pending = attended + mlp(parts, norm(parts[Part::kMlpNorm], stream));
    return;
  }
  stream.pending = attended;
  stream.pending = mlp(parts, norm(parts[Part::kMlpNorm], stream));
}

at::Tensor ForwardPass::norm(PartIndex index, Stream& stream) const {
  const at::Tensor& weight = value(index.weight);
  if (!traits_.layer_norm) {
    const NormResult result = add_rms_norm(stream.residual, stream.pending, weight, config_.norm_epsilon, type_);
    stream = {result.sum, {}};
    return result.normalised;
  }
  if (stream.pending.defined()) stream = {stream.residual + stream.pending, {}};
  return at::layer_norm(stream.residual, {config_.hidden_size}, weight, value(index.bias), config_.norm_epsilon)
      .to(type_);
}

at::Tensor ForwardPass::attention(const PartTable& parts, const PositionTables& tables, const at::Tensor& input) const {
  const bool fused = parts[Part::kFusedQkv].weight != kAbsent;
  at::Tensor qkv =
      fused ? linear(parts, {Part::kFusedQkv}, input) : linear(parts, {Part::kQuery, Part::kKey, Part::kValue}, input);
  if (parts[Part::kQueryNorm].weight != kAbsent) qkv = head_norms(parts, qkv);
  const HeadLayout layout = traits_.interleaved_qkv
                                ? HeadLayout::interleaved(config_.heads, config_.head_dim)
                                : HeadLayout::blocks(config_.heads, config_.kv_heads, config_.head_dim);
  const Heads heads = split_heads(qkv, layout, tables.cos, tables.sin);
  observe_attention(parts, heads);
  return linear(parts, {Part::kAttentionOutput}, attend_all(parts, tables, heads));
}

// To the positions of this pass, or of the cache and this pass.
at::Tensor ForwardPass::attend_all(const PartTable& parts, const PositionTables& tables, const Heads& heads) const {
  const std::int64_t window = config_.sliding_window.value_or(0);
  if (cache_ != nullptr) {
    const std::int64_t first = cache_->length_, length = heads.key.size(2);
    const auto block = static_cast<std::size_t>(&parts - decoder_.shared_->layout.blocks.data());
    const KeptHeads kept{cache_->keys_[block], cache_->values_[block]};
    keep_heads(kept, first, heads.key, heads.value);
    if (first > 0) return attend_last(heads.query, kept, first + length, window);
  }
  return attend(heads.query, heads.key, heads.value, tables.mask, window);
}

// Qwen3: an RMS norm over each head of q and k, before rotation.
at::Tensor ForwardPass::head_norms(const PartTable& parts, const at::Tensor& qkv) const {
  const auto queries = config_.heads * config_.head_dim, keys = config_.kv_heads * config_.head_dim;
  const auto pieces = qkv.split_with_sizes({queries, keys, keys}, -1);
  const auto normed = [&](const at::Tensor& x, Part part) {
    const at::Tensor heads = x.unflatten(-1, {-1, config_.head_dim});
    return add_rms_norm(heads, {}, value(parts[part].weight), config_.norm_epsilon, type_).normalised.flatten(-2);
  };
  return at::cat({normed(pieces[0], Part::kQueryNorm), normed(pieces[1], Part::kKeyNorm), pieces[2]}, -1);
}

at::Tensor ForwardPass::mlp(const PartTable& parts, const at::Tensor& input) const {
  const bool gated = parts[Part::kGate].weight != kAbsent;
  if (!gated) {
    const at::Tensor up = linear(parts, {Part::kUp}, input);
    return linear(parts, {Part::kDown}, activate(up, config_.activation));
  }
  const at::Tensor gate_up = linear(parts, {Part::kGate, Part::kUp}, input);
  if (config_.activation == "silu") return linear(parts, {Part::kDown}, swiglu(gate_up));
  const auto halves = gate_up.chunk(2, -1);
  return linear(parts, {Part::kDown}, activate(halves[0], config_.activation) * halves[1]);
}

// Block linears that share an input: observed, quantized once, multiplied together.
at::Tensor ForwardPass::linear(const PartTable& parts, std::initializer_list<Part> which,
                               const at::Tensor& input) const {
  std::vector<at::Tensor> weights, biases;
  for (const Part part : which) {
    observe(parts[part].weight, input);
    weights.push_back(value(parts[part].weight));
    biases.push_back(value_or_none(parts[part].bias));
  }
  const at::Tensor rows = input.flatten(0, 1);
  if (any_packed(parts, which)) {
    return packed_linear(parts, which, rows).unflatten(0, input.sizes().slice(0, 2));
  }
  const at::Tensor x = decoder_.activation_bits_ == 8 ? fake_quantize_rows(rows, type_) : rows.to(type_);
  return linear_group(x, weights, biases, traits_.input_first).unflatten(0, input.sizes().slice(0, 2));
}

bool ForwardPass::any_packed(const PartTable& parts, std::initializer_list<Part> which) const {
  return std::any_of(which.begin(), which.end(),
                     [&](Part part) { return decoder_.parameters_[parts[part].weight].packed != nullptr; });
}

// As linear, of rows [tokens, d_in]: packed matrices side by side in one product. Where one among them is not packed,
// each is multiplied by itself, that one as ever.
at::Tensor ForwardPass::packed_linear(const PartTable& parts, std::initializer_list<Part> which,
                                      const at::Tensor& rows) const {
  const QuantizedTokens tokens = quantize_tokens(rows);
  std::vector<const PackedMatrix*> matrices;
  for (const Part part : which) matrices.push_back(decoder_.parameters_[parts[part].weight].packed.get());
  if (std::find(matrices.begin(), matrices.end(), nullptr) == matrices.end()) {
    const at::Tensor y = multiply(tokens, matrices);
    std::int64_t column = 0;
    auto matrix = matrices.begin();
    for (const Part part : which) {
      const std::int64_t width = (*matrix++)->rows();
      const at::Tensor bias = value_or_none(parts[part].bias);
      if (bias.defined()) y.narrow(1, column, width).add_(bias);
      column += width;
    }
    return y;
  }
  std::vector<at::Tensor> outputs;
  for (const Part part : which) {
    const Parameter& weight = decoder_.parameters_[parts[part].weight];
    const at::Tensor bias = value_or_none(parts[part].bias);
    if (weight.packed != nullptr) {
      const at::Tensor y = multiply(tokens, *weight.packed);
      outputs.push_back(bias.defined() ? y + bias : y);
    } else {
      outputs.push_back(
          linear_group(fake_quantize_rows(rows, type_), {value(parts[part].weight)}, {bias}, traits_.input_first));
    }
  }
  return at::cat(outputs, -1);
}

at::Tensor ForwardPass::next_logits(const at::Tensor& ids) const {
  const std::int64_t length = ids.size(1);
  if (cache_->length_ + length > cache_->capacity_) {
    throw DataError("the cache of keys and values is full",
                    "it has room for " + std::to_string(cache_->capacity_) + " positions");
  }
  if (cache_->length_ > 0 && length > 1) throw DataError("only one token at a time can follow those in the cache");
  const at::Tensor hidden = hidden_states(ids);
  cache_->length_ += length;
  return head(hidden.narrow(1, length - 1, 1))[0][0];
}

at::Tensor ForwardPass::head(const at::Tensor& hidden) const {
  const PartTable& outer = decoder_.shared_->layout.outer;
  const Part part = config_.tied_head ? Part::kEmbedding : Part::kHead;
  observe(outer[part].weight, hidden);
  if (const auto& packed = decoder_.parameters_[outer[part].weight].packed) {
    return multiply(quantize_tokens(hidden.flatten(0, 1)), *packed).unflatten(0, hidden.sizes().slice(0, 2));
  }
  const at::Tensor rows = hidden.flatten(0, 1).to(type_);
  return linear_group(rows, {value(outer[part].weight)}, {at::Tensor()}, false)
      .unflatten(0, hidden.sizes().slice(0, 2));
}

void ForwardPass::observe(std::size_t index, const at::Tensor& input) const {
  if (!decoder_.observer_) return;
  const at::NoGradGuard no_grad;
  decoder_.observer_(index, input.detach().flatten(0, 1));
}

void ForwardPass::observe_attention(const PartTable& parts, const Heads& heads) const {
  const auto layer = static_cast<int>(&parts - decoder_.shared_->layout.blocks.data());
  if (tap_ != nullptr && tap_->attention_of == layer) {
    tap_->query = heads.query;
    tap_->key = heads.key;
    tap_->value = heads.value;
  }
  if (!decoder_.attention_observer_) return;
  const at::NoGradGuard no_grad;
  decoder_.attention_observer_(layer, heads.query.detach(), heads.key.detach());
}

}  // namespace tercet
