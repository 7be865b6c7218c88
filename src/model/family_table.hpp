// The families as data: which tensors a model has, what each does, its shape, and how the parts are put together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tercet/model/decoder.hpp"

namespace tercet {

// The place of a tensor in the computation; a family has a subset of them.
enum class Part {
  kEmbedding,
  kPositions,
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kFusedQkv,
  kQueryNorm,
  kKeyNorm,
  kAttentionOutput,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kFinalNorm,
  kHead,
};
constexpr std::size_t kParts = static_cast<std::size_t>(Part::kHead) + 1;

struct FamilyTraits {
  std::string_view root;    // prefix of everything but the head: "model."
  std::string_view blocks;  // prefix of a block after the root, before its index: "layers."
  bool layer_norm = false;  // LayerNorm with bias; else RMSNorm
  bool learned_positions = false;
  bool interleaved_qkv = false;           // the fused projection holds q, k, v of each head together
  bool input_first = false;               // block linears are stored [in, out] (Conv1D)
  std::vector<std::string_view> ignored;  // endings of tensors that checkpoints carry and the model computes itself
};
const FamilyTraits& family_traits(Family family);

struct ParameterSpec {
  std::string name;
  Part part;
  bool is_bias = false;
  Role role;
  int layer = -1;
  bool input_first = false;
  std::vector<std::int64_t> shape;
};

// Every parameter in the order of Decoder::parameters(): embedding, blocks, final norm, head (if not tied).
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);
// What the head is called, tied or not.
std::string head_name(Family family);

// Indices into the parameters by part; kAbsent where a model has none.
constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
struct PartIndex {
  std::size_t weight = kAbsent, bias = kAbsent;
};
class PartTable {
 public:
  PartTable() { parts_.fill({}); }
  PartIndex& operator[](Part part) { return parts_[static_cast<std::size_t>(part)]; }
  const PartIndex& operator[](Part part) const { return parts_[static_cast<std::size_t>(part)]; }

 private:
  std::array<PartIndex, kParts> parts_;
};
struct ModelLayout {
  PartTable outer;
  std::vector<PartTable> blocks;
};
ModelLayout make_layout(const std::vector<ParameterSpec>& specs);

}  // namespace tercet
