// One evaluation of a Decoder: the parts put together as the family's table says.
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <initializer_list>

#include "model/family_table.hpp"
#include "model/heads.hpp"
#include "model/positions.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet {

struct Decoder::Shared {
  explicit Shared(ModelLayout where) : layout(std::move(where)) {}
  ModelLayout layout;
  PositionCache positions;
};

class ForwardPass {
 public:
  // With a cache: the positions that are computed follow those that it holds.
  explicit ForwardPass(const Decoder& decoder, KeyValueCache* cache = nullptr, ForwardTap* tap = nullptr);

  // The residual stream and what waits to be added to it, so that norm and addition are one pass over memory.
  struct Stream {
    at::Tensor residual, pending;
  };

  Stream stream_after(const at::Tensor& ids, int blocks) const;
  at::Tensor hidden_states(const at::Tensor& ids) const;              // [batch, positions, hidden]
  at::Tensor block_after(const at::Tensor& stream, int index) const;  // the stream after that block
  // hidden_states() from the stream before block `first` on
  at::Tensor hidden_states_from(const at::Tensor& stream, int first) const;
  at::Tensor head(const at::Tensor& hidden) const;      // [batch, positions, vocab]
  at::Tensor next_logits(const at::Tensor& ids) const;  // [vocab]; of the last position, with a cache

 private:
  static at::ScalarType activation_type(const Decoder& decoder);
  const at::Tensor& value(std::size_t index) const {
    const Parameter& parameter = decoder_.parameters_[index];
    return parameter.streamed ? parameter.streamed->held() : parameter.value;
  }
  at::Tensor value_or_none(std::size_t index) const { return index == kAbsent ? at::Tensor() : value(index); }

  at::Tensor embed(const at::Tensor& ids) const;
  void block(const PartTable& parts, const PositionTables& tables, Stream& stream) const;
  at::Tensor attention(const PartTable& parts, const PositionTables& tables, const at::Tensor& input) const;
  at::Tensor attend_all(const PartTable& parts, const PositionTables& tables, const Heads& heads) const;
  at::Tensor mlp(const PartTable& parts, const at::Tensor& input) const;
  at::Tensor norm(PartIndex index, Stream& stream) const;
  at::Tensor head_norms(const PartTable& parts, const at::Tensor& qkv) const;
  at::Tensor linear(const PartTable& parts, std::initializer_list<Part> which, const at::Tensor& input) const;
  at::Tensor packed_linear(const PartTable& parts, std::initializer_list<Part> which, const at::Tensor& rows) const;
  PositionTables position_tables(const at::Tensor& stream) const;
  bool any_packed(const PartTable& parts, std::initializer_list<Part> which) const;
  void observe(std::size_t index, const at::Tensor& input) const;
  void observe_attention(const PartTable& parts, const Heads& heads) const;

  const Decoder& decoder_;
  KeyValueCache* cache_;
  ForwardTap* tap_;
  const ModelConfig& config_;
  const FamilyTraits& traits_;
  at::ScalarType type_;  // of activations; the residual stream keeps the parameters' type
  // Number types are explicit here: autocast's own rules would convert back and forth between our loops.
  c10::impl::ExcludeDispatchKeyGuard no_autocast_;
};

}  // namespace tercet
