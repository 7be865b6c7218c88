#include "model/family_table.hpp"

#include <algorithm>
#include <span>

namespace tercet {
namespace {

// Extents of a tensor as the configuration gives them.
enum class Extent { kNone, kVocab, kHidden, kQueries, kKeyValues, kQkv, kMlp, kHeadDim, kPositions };
enum class Bias { kNever, kNorm, kAttention, kAttentionOutput, kMlp };

struct Row {
  Part part;
  Role role;
  std::string_view stem;  // name without ".weight"
  Extent out, in;         // logical [out, in]
  Bias bias = Bias::kNever;
};

using enum Extent;
constexpr Row kLlamaBlock[] = {
    {Part::kAttentionNorm, Role::kNorm, "input_layernorm", kHidden, kNone},
    {Part::kQuery, Role::kQuery, "self_attn.q_proj", kQueries, kHidden, Bias::kAttention},
    {Part::kKey, Role::kKey, "self_attn.k_proj", kKeyValues, kHidden, Bias::kAttention},
    {Part::kValue, Role::kValue, "self_attn.v_proj", kKeyValues, kHidden, Bias::kAttention},
    {Part::kQueryNorm, Role::kNorm, "self_attn.q_norm", kHeadDim, kNone},  // Qwen3 only
    {Part::kKeyNorm, Role::kNorm, "self_attn.k_norm", kHeadDim, kNone},    // Qwen3 only
    {Part::kAttentionOutput, Role::kAttentionOutput, "self_attn.o_proj", kHidden, kQueries, Bias::kAttentionOutput},
    {Part::kMlpNorm, Role::kNorm, "post_attention_layernorm", kHidden, kNone},
    {Part::kGate, Role::kGate, "mlp.gate_proj", kMlp, kHidden, Bias::kMlp},
    {Part::kUp, Role::kUp, "mlp.up_proj", kMlp, kHidden, Bias::kMlp},
    {Part::kDown, Role::kDown, "mlp.down_proj", kHidden, kMlp, Bias::kMlp},
};
constexpr Row kGpt2Block[] = {
    {Part::kAttentionNorm, Role::kNorm, "ln_1", kHidden, kNone, Bias::kNorm},
    {Part::kFusedQkv, Role::kFusedQkv, "attn.c_attn", kQkv, kHidden, Bias::kAttention},
    {Part::kAttentionOutput, Role::kAttentionOutput, "attn.c_proj", kHidden, kQueries, Bias::kAttentionOutput},
    {Part::kMlpNorm, Role::kNorm, "ln_2", kHidden, kNone, Bias::kNorm},
    {Part::kUp, Role::kUp, "mlp.c_fc", kMlp, kHidden, Bias::kMlp},
    {Part::kDown, Role::kDown, "mlp.c_proj", kHidden, kMlp, Bias::kMlp},
};
constexpr Row kNeoxBlock[] = {
    {Part::kAttentionNorm, Role::kNorm, "input_layernorm", kHidden, kNone, Bias::kNorm},
    {Part::kFusedQkv, Role::kFusedQkv, "attention.query_key_value", kQkv, kHidden, Bias::kAttention},
    {Part::kAttentionOutput, Role::kAttentionOutput, "attention.dense", kHidden, kQueries, Bias::kAttentionOutput},
    {Part::kMlpNorm, Role::kNorm, "post_attention_layernorm", kHidden, kNone, Bias::kNorm},
    {Part::kUp, Role::kUp, "mlp.dense_h_to_4h", kMlp, kHidden, Bias::kMlp},
    {Part::kDown, Role::kDown, "mlp.dense_4h_to_h", kHidden, kMlp, Bias::kMlp},
};
constexpr Row kLlamaFirst[] = {{Part::kEmbedding, Role::kEmbedding, "embed_tokens", kVocab, kHidden}};
constexpr Row kGpt2First[] = {{Part::kEmbedding, Role::kEmbedding, "wte", kVocab, kHidden},
                              {Part::kPositions, Role::kPositionEmbedding, "wpe", kPositions, kHidden}};
constexpr Row kNeoxFirst[] = {{Part::kEmbedding, Role::kEmbedding, "embed_in", kVocab, kHidden}};
constexpr Row kLlamaLast = {Part::kFinalNorm, Role::kNorm, "norm", kHidden, kNone};
constexpr Row kGpt2Last = {Part::kFinalNorm, Role::kNorm, "ln_f", kHidden, kNone, Bias::kNorm};
constexpr Row kNeoxLast = {Part::kFinalNorm, Role::kNorm, "final_layer_norm", kHidden, kNone, Bias::kNorm};

struct FamilyEntry {
  FamilyTraits traits;
  std::span<const Row> first, block;
  Row last;
  std::string_view head;
};

const FamilyEntry& family_of(Family family) {
  static const FamilyEntry llama{{"model.", "layers.", false, false, false, false, {"rotary_emb.inv_freq"}},
                                 kLlamaFirst,
                                 kLlamaBlock,
                                 kLlamaLast,
                                 "lm_head"};
  static const FamilyEntry gpt2{{"transformer.", "h.", true, true, false, true, {".attn.bias", ".attn.masked_bias"}},
                                kGpt2First,
                                kGpt2Block,
                                kGpt2Last,
                                "lm_head"};
  static const FamilyEntry neox{{"gpt_neox.",
                                 "layers.",
                                 true,
                                 false,
                                 true,
                                 false,
                                 {"rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"}},
                                kNeoxFirst,
                                kNeoxBlock,
                                kNeoxLast,
                                "embed_out"};
  switch (family) {
    case Family::kGpt2:
      return gpt2;
    case Family::kGptNeox:
      return neox;
    default:
      return llama;
  }
}

std::int64_t extent_of(const ModelConfig& c, Extent extent) {
  switch (extent) {
    case kVocab:
      return c.vocab_size;
    case kHidden:
      return c.hidden_size;
    case kQueries:
      return c.heads * c.head_dim;
    case kKeyValues:
      return c.kv_heads * c.head_dim;
    case kQkv:
      return (c.heads + 2 * c.kv_heads) * c.head_dim;
    case kMlp:
      return c.intermediate_size;
    case kHeadDim:
      return c.head_dim;
    case kPositions:
      return c.max_positions;
    case kNone:
      break;
  }
  return 1;
}

bool has_bias(const ModelConfig& c, Bias bias) {
  switch (bias) {
    case Bias::kNorm:
      return true;
    case Bias::kAttention:
      return c.attention_bias;
    case Bias::kAttentionOutput:
      return c.attention_output_bias;
    case Bias::kMlp:
      return c.mlp_bias;
    case Bias::kNever:
      break;
  }
  return false;
}

void add_row(const ModelConfig& c, const Row& row, const std::string& prefix, int layer,
             std::vector<ParameterSpec>& specs) {
  const bool head_norm = row.part == Part::kQueryNorm || row.part == Part::kKeyNorm;
  if (head_norm && c.family != Family::kQwen3) return;
  const std::string name = prefix + std::string(row.stem);
  const auto out = extent_of(c, row.out);
  std::vector<std::int64_t> shape{out};
  const bool input_first = is_block_linear(row.role) && family_traits(c.family).input_first;
  if (row.in != kNone) {
    const auto in = extent_of(c, row.in);
    shape = input_first ? std::vector<std::int64_t>{in, out} : std::vector<std::int64_t>{out, in};
  }
  specs.push_back({name + ".weight", row.part, false, row.role, layer, input_first, shape});
  if (!has_bias(c, row.bias)) return;
  const Role role = row.bias == Bias::kNorm ? Role::kNorm : Role::kBias;
  specs.push_back({name + ".bias", row.part, true, role, layer, false, {out}});
}

}  // namespace

const FamilyTraits& family_traits(Family family) {
  return family_of(family).traits;
}

std::string head_name(Family family) {
  return std::string(family_of(family).head) + ".weight";
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  const FamilyEntry& family = family_of(config.family);
  const std::string root(family.traits.root);
  std::vector<ParameterSpec> specs;
  for (const Row& row : family.first) add_row(config, row, root, -1, specs);
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = root + std::string(family.traits.blocks) + std::to_string(layer) + ".";
    for (const Row& row : family.block) add_row(config, row, prefix, layer, specs);
  }
  add_row(config, family.last, root, -1, specs);
  if (!config.tied_head) add_row(config, {Part::kHead, Role::kHead, family.head, kVocab, kHidden}, "", -1, specs);
  return specs;
}

ModelLayout make_layout(const std::vector<ParameterSpec>& specs) {
  ModelLayout layout;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const auto layer = specs[i].layer;
    if (layer >= static_cast<int>(layout.blocks.size())) layout.blocks.resize(static_cast<std::size_t>(layer) + 1);
    PartTable& table = layer < 0 ? layout.outer : layout.blocks[static_cast<std::size_t>(layer)];
    PartIndex& index = table[specs[i].part];
    (specs[i].is_bias ? index.bias : index.weight) = i;
  }
  return layout;
}

}  // namespace tercet
