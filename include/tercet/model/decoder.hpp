// Decoder-only language models of the supported families, from one set of parts: norm, attention, position, MLP.
//
// A Decoder holds named parameters (Hugging Face names and layouts) and computes logits from token ids. Forward uses
// exactly the tensors in parameters(), so a caller quantizes or trains a model by replacing `value`.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tercet/model_io/model_config.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {

// What a parameter does. The ternary candidates are the linear weights inside the blocks: kQuery .. kDown.
enum class Role {
  kEmbedding,
  kPositionEmbedding,
  kHead,
  kNorm,
  kBias,
  kQuery,
  kKey,
  kValue,
  kFusedQkv,
  kAttentionOutput,
  kGate,
  kUp,
  kDown,
};
std::string to_string(Role role);  // "embedding", "query", ...
bool is_block_linear(Role role);   // a matrix multiplied inside a block

struct Parameter {
  std::string name;  // as in the Hugging Face folder, e.g. "model.layers.0.self_attn.q_proj.weight"
  Role role = Role::kNorm;
  int layer = -1;            // block index, -1 outside the blocks
  bool input_first = false;  // GPT-2's Conv1D: stored [in, out]; everything else [out, in]
  at::Tensor value;
};

// Called with (index into parameters(), input [tokens, d_in] before activation quantization) for each block linear and
// for the head, in forward order. Runs without gradients. A tied head is reported under the embedding's index.
using LinearObserver = std::function<void(std::size_t, const at::Tensor&)>;
// Called with (block, query, key) of each attention, both [batch, heads, positions, head_dim] after rotation, keys
// repeated to the heads of the queries. Detached, runs without gradients.
using AttentionObserver = std::function<void(int, const at::Tensor&, const at::Tensor&)>;

class Decoder {
 public:
  // Loads and converts every parameter to `dtype` (kFloat default) on `device`. Checks names, shapes and finiteness;
  // throws DataError naming the tensor. Extra tensors that the families are known to carry (e.g. attention masks,
  // rotary inv_freq, a tied head stored twice) are ignored; unknown ones are an error. A folder whose names lack the
  // base model's prefix ("wte.weight") is accepted; parameters() always carry it ("transformer.wte.weight").
  static Decoder load(const ModelConfig& config, const WeightSource& weights, const std::string& device = "cpu");
  // Parameters drawn for training from scratch: N(0, 0.02), residual projections scaled by 1/sqrt(2 layers), norms one.
  static Decoder random(const ModelConfig& config, std::uint64_t seed, const std::string& device = "cpu");
  // The parameters as given (e.g. read from an artifact); checked like load.
  static Decoder from_parameters(const ModelConfig& config, const NamedTensors& tensors, const std::string& device);

  Decoder clone() const;  // deep copy of the parameters

  const ModelConfig& config() const { return config_; }
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::int64_t parameter_count() const;  // a tied head counts once

  // ids [batch, positions] int64 -> logits [batch, positions, vocab]. Causal; positions start at 0. fp32 throughout,
  // or, inside at::autocast, in its type with the residual stream in fp32 (logits then are in that type).
  at::Tensor forward(const at::Tensor& ids) const;
  // As forward; `streams` then holds the residual stream [batch, positions, hidden] after each block.
  at::Tensor forward(const at::Tensor& ids, std::vector<at::Tensor>& streams) const;
  // As forward, without the head: the final normalised hidden states [batch, positions, hidden].
  at::Tensor hidden_states(const at::Tensor& ids) const;
  // The parts of forward(), for those who go block by block: the residual stream [batch, positions, hidden] before the
  // first block, and after block `index` when it was `stream` before it. The last one's result goes through the final
  // norm before head() takes it.
  at::Tensor embed(const at::Tensor& ids) const;
  at::Tensor block(int index, const at::Tensor& stream) const;
  // Runs the first `blocks` blocks alone, for what observers see.
  void run_blocks(const at::Tensor& ids, int blocks) const;
  at::Tensor head(const at::Tensor& hidden) const;

  // Per-token absmax int8 fake quantization of the input of every block linear (straight-through gradient), BitNet
  // b1.58 (Ma et al. 2024): x_q = clamp(round_half_even(x * 127/max|x|), -128, 127) * max|x|/127. 16 = off.
  void set_activation_bits(int bits) { activation_bits_ = bits; }
  int activation_bits() const { return activation_bits_; }
  void set_observer(LinearObserver observer) { observer_ = std::move(observer); }
  void set_attention_observer(AttentionObserver observer) { attention_observer_ = std::move(observer); }

 private:
  struct Shared;  // what depends on the architecture alone: where each part is, position tables. Common to copies.
  friend class ForwardPass;

  Decoder(const ModelConfig& config, std::vector<Parameter> parameters);

  ModelConfig config_;
  std::vector<Parameter> parameters_;
  std::shared_ptr<Shared> shared_;
  int activation_bits_ = 16;
  LinearObserver observer_;
  AttentionObserver attention_observer_;
};

}  // namespace tercet
