#include "tercet/model/decoder.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <array>
#include <utility>

#include "model/forward_pass.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

std::string to_string(Role role) {
  static constexpr std::array<const char*, 13> kNames{
      "embedding", "position_embedding", "head", "norm", "bias", "query", "key", "value",
      "fused_qkv", "attention_output",   "gate", "up",   "down"};
  return kNames[static_cast<std::size_t>(role)];
}

bool is_block_linear(Role role) {
  switch (role) {
    case Role::kQuery:
    case Role::kKey:
    case Role::kValue:
    case Role::kFusedQkv:
    case Role::kAttentionOutput:
    case Role::kGate:
    case Role::kUp:
    case Role::kDown:
      return true;
    default:
      return false;
  }
}

at::Tensor StreamedWeight::make() const {
  heartbeat::beat();  // it may come from a disk
  at::Tensor value = make_();
  if (value.is_cpu()) give_back_freed_memory(value.nbytes());
  return value;
}

std::shared_ptr<void> StreamedWeight::hold() {
  if (std::shared_ptr<void> holder = holder_.lock()) return holder;
  value_ = make();
  std::shared_ptr<void> holder(&value_, [self = shared_from_this()](void*) { self->value_ = at::Tensor(); });
  holder_ = holder;
  return holder;
}

at::Tensor values_of(const Parameter& parameter) {
  return parameter.streamed ? parameter.streamed->make() : parameter.value;
}

at::Tensor shape_alone(const std::vector<std::int64_t>& shape) {
  return at::empty(shape, at::TensorOptions(at::kFloat).device(at::kMeta));
}

Decoder::Decoder(const ModelConfig& config, std::vector<Parameter> parameters)
    : config_(config),
      parameters_(std::move(parameters)),
      shared_(std::make_shared<Shared>(make_layout(parameter_specs(config)))) {}

Decoder Decoder::clone() const {
  Decoder copy = *this;
  for (auto& parameter : copy.parameters_) parameter.value = parameter.value.detach().clone();
  return copy;
}

c10::Device Decoder::device() const {
  const Parameter& first = parameters_.front();
  return first.packed != nullptr ? first.packed->device() : first.value.device();
}

std::int64_t Decoder::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& parameter : parameters_) count += parameter.value.numel();
  return count;
}

at::Tensor Decoder::forward(const at::Tensor& ids) const {
  const ForwardPass pass(*this);
  return pass.head(pass.hidden_states(ids));
}

at::Tensor Decoder::forward(const at::Tensor& ids, ForwardTap& tap) const {
  const ForwardPass pass(*this, nullptr, &tap);
  tap.streams.clear();
  return pass.head(pass.hidden_states(ids));
}

at::Tensor Decoder::hidden_states(const at::Tensor& ids) const {
  return ForwardPass(*this).hidden_states(ids);
}

at::Tensor Decoder::next_logits(const at::Tensor& ids, KeyValueCache& cache) const {
  const at::NoGradGuard no_grad;
  return ForwardPass(*this, &cache).next_logits(ids);
}

at::Tensor Decoder::embed(const at::Tensor& ids) const {
  return ForwardPass(*this).stream_after(ids, 0).residual;
}

at::Tensor Decoder::block(int index, const at::Tensor& stream) const {
  return ForwardPass(*this).block_after(stream, index);
}

at::Tensor Decoder::forward_from(int first, const at::Tensor& stream) const {
  const ForwardPass pass(*this);
  return pass.head(pass.hidden_states_from(stream, first));
}

BlockHold Decoder::hold_block(int index) const {
  const PartTable& parts = shared_->layout.blocks.at(static_cast<std::size_t>(index));
  BlockHold held;
  for (std::size_t part = 0; part < kParts; ++part) {
    const PartIndex place = parts[static_cast<Part>(part)];
    for (const std::size_t i : {place.weight, place.bias}) {
      if (i != kAbsent && parameters_[i].streamed) held.push_back(parameters_[i].streamed->hold());
    }
  }
  return held;
}

void Decoder::run_blocks(const at::Tensor& ids, int blocks) const {
  ForwardPass(*this).stream_after(ids, blocks);
}

at::Tensor Decoder::head(const at::Tensor& hidden) const {
  return ForwardPass(*this).head(hidden);
}

}  // namespace tercet
