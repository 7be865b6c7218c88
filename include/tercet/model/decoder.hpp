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
#include "tercet/quant/format.hpp"

namespace tercet {

class PackedMatrix;  // kernels/packed_matrix.hpp

// A weight that is made when it is needed, and exists while somebody holds it: of a model that is larger than memory.
class StreamedWeight : public std::enable_shared_from_this<StreamedWeight> {
 public:
  // `make` gives a float32 tensor of its own each time, on the device where the model computes.
  explicit StreamedWeight(std::function<at::Tensor()> make) : make_(std::move(make)) {}
  at::Tensor make() const;                           // for the caller alone
  std::shared_ptr<void> hold();                      // made if it is not there; gone with the last holder
  const at::Tensor& held() const { return value_; }  // undefined when nobody holds it

 private:
  std::function<at::Tensor()> make_;
  at::Tensor value_;
  std::weak_ptr<void> holder_;
};
// While it lives, so do the streamed weights of some blocks.
using BlockHold = std::vector<std::shared_ptr<void>>;

// Where the weights inside the blocks are. The rest (embedding, positions, final norm, head) is in memory in any case.
enum class Residence {
  kResident,  // all in memory
  kStreamed,  // made anew from their source whenever a pass reaches their block
};

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
  at::Tensor value;          // float32; of a packed or streamed one its shape alone (on the meta device)
  std::shared_ptr<const PackedMatrix> packed = nullptr;  // for inference alone; null: `value` is used
  std::shared_ptr<StreamedWeight> streamed = nullptr;    // null: `value` is used
};
at::Tensor values_of(const Parameter& parameter);                // of one that is not packed: `value`, or made now
at::Tensor shape_alone(const std::vector<std::int64_t>& shape);  // float32, on the meta device

// A parameter in its stored form, as an artifact has it.
struct StoredParameter {
  std::string name;
  StoredTensor stored;                                   // [out, in] where it is a matrix
  bool input_first = false;                              // the model wants it transposed
  std::shared_ptr<const PackedMatrix> packed = nullptr;  // the same in the kernels' order, where that is there already
};
// How a model computes with stored matrices. The packed forms take tokens as int8 and have no gradients; what has no
// kernel (PackedMatrix::refusal) is dequantized all the same.
enum class WeightForm {
  kDense,         // dequantized
  kPackedBlocks,  // packed inside the blocks; embedding and head dequantized, so that the head's input stays float32
  kPacked,        // all of them packed
};

// Called with (index into parameters(), input [tokens, d_in] before activation quantization) for each block linear and
// for the head, in forward order. Runs without gradients. A tied head is reported under the embedding's index.
using LinearObserver = std::function<void(std::size_t, const at::Tensor&)>;
// Called with (block, query, key) of each attention, both [batch, heads, positions, head_dim] after rotation, keys
// repeated to the heads of the queries. Detached, runs without gradients.
using AttentionObserver = std::function<void(int, const at::Tensor&, const at::Tensor&)>;

// Keys and values of the positions of one sequence, so that each new one is computed alone.
class KeyValueCache {
 public:
  // Room for `capacity` positions, at most those that the model knows (throws DataError). Memory: fp32, bytes().
  KeyValueCache(const ModelConfig& config, std::int64_t capacity, const std::string& device = "cpu");
  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  std::uint64_t bytes() const;

 private:
  friend class ForwardPass;
  std::int64_t length_ = 0, capacity_ = 0;
  std::vector<at::Tensor> keys_, values_;  // of each block (KeptHeads)
};

// What a forward pass leaves behind besides the logits, with its graph, for losses inside the model.
struct ForwardTap {
  bool wants_streams = false;
  std::vector<at::Tensor> streams;  // the residual stream [batch, positions, hidden] after each block
  int attention_of = -1;            // block whose heads are wanted; -1: none
  at::Tensor query, key, value;  // [batch, heads, positions, head_dim], rotated, repeated to the heads of the queries
};

class Decoder {
 public:
  // Loads and converts every parameter to `dtype` (kFloat default) on `device`. Checks names, shapes and finiteness;
  // throws DataError naming the tensor. Extra tensors that the families are known to carry (e.g. attention masks,
  // rotary inv_freq, a tied head stored twice) are ignored; unknown ones are an error. A folder whose names lack the
  // base model's prefix ("wte.weight") is accepted; parameters() always carry it ("transformer.wte.weight").
  // Streamed, each value is looked at now and made again from `weights` when it is needed.
  static Decoder load(const ModelConfig& config, std::shared_ptr<const WeightSource> weights,
                      const std::string& device = "cpu", Residence residence = Residence::kResident);
  // Parameters drawn for training from scratch: N(0, 0.02), residual projections scaled by 1/sqrt(2 layers), norms one.
  static Decoder random(const ModelConfig& config, std::uint64_t seed, const std::string& device = "cpu");
  // The parameters as given (e.g. read from an artifact); checked like load.
  static Decoder from_parameters(const ModelConfig& config, const NamedTensors& tensors, const std::string& device,
                                 Residence residence = Residence::kResident);
  // The same from stored parameters, one at a time: packed, or dequantized. What is packed is not streamed.
  static Decoder from_stored(const ModelConfig& config, const std::vector<StoredParameter>& parameters, WeightForm form,
                             const std::string& device, Residence residence = Residence::kResident);

  Decoder clone() const;  // deep copy of the parameters; streamed ones have the same source

  const ModelConfig& config() const { return config_; }
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  c10::Device device() const;            // where it computes
  std::int64_t parameter_count() const;  // a tied head counts once

  // ids [batch, positions] int64 -> logits [batch, positions, vocab]. Causal; positions start at 0. fp32 throughout,
  // or, inside at::autocast, in its type with the residual stream in fp32 (logits then are in that type).
  at::Tensor forward(const at::Tensor& ids) const;
  at::Tensor forward(const at::Tensor& ids, ForwardTap& tap) const;
  // As forward, without the head: the final normalised hidden states [batch, positions, hidden].
  at::Tensor hidden_states(const at::Tensor& ids) const;
  // The parts of forward(), for those who go block by block: the residual stream [batch, positions, hidden] before the
  // first block, and after block `index` when it was `stream` before it. The last one's result goes through the final
  // norm before head() takes it.
  at::Tensor embed(const at::Tensor& ids) const;
  at::Tensor block(int index, const at::Tensor& stream) const;
  // The logits of forward() from that stream before block `first` on.
  at::Tensor forward_from(int first, const at::Tensor& stream) const;
  // Runs the first `blocks` blocks alone, for what observers see.
  void run_blocks(const at::Tensor& ids, int blocks) const;
  at::Tensor head(const at::Tensor& hidden) const;
  // For those who run a block several times: its streamed weights are made once. Every pass holds the block that it is
  // in by itself.
  [[nodiscard]] BlockHold hold_block(int index) const;

  // For generation: ids [1, n] follow the positions that `cache` holds, and are added to it. n > 1 only with an empty
  // cache. Gives the logits after the last of them, [vocab]. Throws DataError when the cache is full. No gradients.
  at::Tensor next_logits(const at::Tensor& ids, KeyValueCache& cache) const;

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
