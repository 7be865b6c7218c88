// A model as llama.cpp's architectures know it: keys, names of tensors, order of rows, and what they cannot express.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gguf_file.hpp"
#include "tercet/artifact/export_format.hpp"
#include "tercet/model_io/model_config.hpp"
#include "tercet/text/vocabulary.hpp"

namespace tercet {

// Why llama.cpp has no architecture that computes this model; nothing where it has.
std::optional<Refusal> architecture_refusal(const ModelConfig& config);
std::string gguf_name(const ModelConfig& config, const std::string& tensor);  // "blk.0.attn_q.weight"
// Row i of the tensor of this GGUF name is row order[i] of ours; empty: as they are.
//   llama    query and key: a head's two halves, which our rotation pairs, become neighbours
//   gptneox  fused projection: q, k, v of each head become all q, all k, all v
std::vector<std::int64_t> gguf_row_order(const ModelConfig& config, const std::string& gguf_name);

void set_model_keys(const ModelConfig& config, GgufFile& file);
// What each rotation frequency is divided by (Llama 3's scaling), [head_dim / 2]; empty for every other model.
std::vector<float> rope_factors(const ModelConfig& config);

// tokenizer.ggml.*, of as many entries as the embedding has rows. Ids: -1 for none.
struct GgufTokenIds {
  std::int64_t bos = -1, eos = -1;
  bool add_bos = false, add_eos = false;
};
void set_tokenizer_keys(const Vocabulary& vocabulary, const GgufTokenIds& ids, std::int64_t rows, GgufFile& file);

}  // namespace tercet
