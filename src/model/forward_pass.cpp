#include "model/forward_pass.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include "model/activation_quantization.hpp"
#include "model/attention.hpp"
#include "model/dtype.hpp"
#include "model/heads.hpp"
#include "model/linear.hpp"
#include "model/rms_norm.hpp"
#include "model/swiglu.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

at::Tensor activate(const at::Tensor& x, const std::string& activation) {
  if (activation == "gelu") return at::gelu(x);
  if (activation == "gelu_tanh") return at::gelu(x, "tanh");
  if (activation == "relu") return at::relu(x);
  return at::silu(x);
}

}  // namespace

ForwardPass::ForwardPass(const Decoder& decoder)
    : decoder_(decoder),
      config_(decoder.config_),
      traits_(family_traits(decoder.config_.family)),
      type_(compute_type(decoder.parameters_.front().value)),
      no_autocast_(c10::autocast_dispatch_keyset) {}

at::Tensor ForwardPass::block_after(const at::Tensor& stream, int index) const {
  const PositionTables tables = decoder_.shared_->positions.get(config_, stream.size(1), stream.device());
  Stream result{stream, {}};
  block(decoder_.shared_->layout.blocks.at(static_cast<std::size_t>(index)), tables, result);
  return result.residual + result.pending;
}

ForwardPass::Stream ForwardPass::stream_after(const at::Tensor& ids, int blocks,
                                              std::vector<at::Tensor>* streams) const {
  if (ids.dim() != 2)
    throw DataError("token ids must be [batch, positions]", std::to_string(ids.dim()) + " dimensions");
  const auto& layout = decoder_.shared_->layout;
  const PositionTables tables = decoder_.shared_->positions.get(config_, ids.size(1), ids.device());
  Stream stream{embed(ids), {}};
  for (int i = 0; i < blocks; ++i) {
    heartbeat::beat();
    block(layout.blocks.at(static_cast<std::size_t>(i)), tables, stream);
    if (streams == nullptr) continue;
    stream = {stream.residual + stream.pending, {}};
    streams->push_back(stream.residual);
  }
  return stream;
}

at::Tensor ForwardPass::hidden_states(const at::Tensor& ids, std::vector<at::Tensor>* streams) const {
  const auto& layout = decoder_.shared_->layout;
  Stream stream = stream_after(ids, static_cast<int>(layout.blocks.size()), streams);
  return norm(layout.outer[Part::kFinalNorm], stream);
}

at::Tensor ForwardPass::embed(const at::Tensor& ids) const {
  const PartTable& outer = decoder_.shared_->layout.outer;
  const at::Tensor tokens = at::embedding(value(outer[Part::kEmbedding].weight), ids);
  if (!traits_.learned_positions) return tokens;
  if (ids.size(1) > config_.max_positions) {
    throw DataError("a sequence of " + std::to_string(ids.size(1)) + " tokens is too long for the model",
                    "it has " + std::to_string(config_.max_positions) + " learned positions",
                    "lower the sequence length");
  }
  return tokens + value(outer[Part::kPositions].weight).narrow(0, 0, ids.size(1));
}

void ForwardPass::block(const PartTable& parts, const PositionTables& tables, Stream& stream) const {
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
  observe_attention(parts, heads.query, heads.key);
  return linear(parts, {Part::kAttentionOutput},
                attend(heads.query, heads.key, heads.value, tables.mask, config_.sliding_window.value_or(0)));
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
  const at::Tensor x = decoder_.activation_bits_ == 8 ? fake_quantize_rows(rows, type_) : rows.to(type_);
  return linear_group(x, weights, biases, traits_.input_first).unflatten(0, input.sizes().slice(0, 2));
}

at::Tensor ForwardPass::head(const at::Tensor& hidden) const {
  const PartTable& outer = decoder_.shared_->layout.outer;
  const Part part = config_.tied_head ? Part::kEmbedding : Part::kHead;
  observe(outer[part].weight, hidden);
  const at::Tensor rows = hidden.flatten(0, 1).to(type_);
  return linear_group(rows, {value(outer[part].weight)}, {at::Tensor()}, false)
      .unflatten(0, hidden.sizes().slice(0, 2));
}

void ForwardPass::observe(std::size_t index, const at::Tensor& input) const {
  if (!decoder_.observer_) return;
  const at::NoGradGuard no_grad;
  decoder_.observer_(index, input.detach().flatten(0, 1));
}

void ForwardPass::observe_attention(const PartTable& parts, const at::Tensor& query, const at::Tensor& key) const {
  if (!decoder_.attention_observer_) return;
  const at::NoGradGuard no_grad;
  const auto layer = static_cast<int>(&parts - decoder_.shared_->layout.blocks.data());
  decoder_.attention_observer_(layer, query.detach(), key.detach());
}

}  // namespace tercet
