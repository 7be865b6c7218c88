// The independent check of model.gguf: a reader of the file, of its names and of the
// order of its rows, written from their documentation.
#include <map>

#include "export_checks.hpp"
#include "gguf_view.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using gguf_check::Block;
using gguf_check::TensorEntry;

// --- names and rows, from GGUF's to ours ---

// What comes after "blk.N.", by architecture.
std::map<std::string, std::string> parts_of(const std::string& architecture) {
  if (architecture == "gpt2") {
    return {{"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
            {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"}};
  }
  if (architecture == "gptneox") {
    return {{"attn_norm", "input_layernorm"},   {"attn_qkv", "attention.query_key_value"},
            {"attn_output", "attention.dense"}, {"ffn_norm", "post_attention_layernorm"},
            {"ffn_up", "mlp.dense_h_to_4h"},    {"ffn_down", "mlp.dense_4h_to_h"}};
  }
  return {{"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
          {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
          {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
          {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
          {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
          {"ffn_down", "mlp.down_proj"}};
}

std::map<std::string, std::string> outer_of(const std::string& architecture) {
  if (architecture == "gpt2") {
    return {{"token_embd", "transformer.wte"},
            {"position_embd", "transformer.wpe"},
            {"output_norm", "transformer.ln_f"},
            {"output", "lm_head"}};
  }
  if (architecture == "gptneox") {
    return {{"token_embd", "gpt_neox.embed_in"}, {"output_norm", "gpt_neox.final_layer_norm"}, {"output", "embed_out"}};
  }
  return {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
}

std::string blocks_of(const std::string& architecture) {
  return architecture == "gpt2" ? "transformer.h." : architecture == "gptneox" ? "gpt_neox.layers." : "model.layers.";
}

std::string lookup(const std::map<std::string, std::string>& names, const std::string& key) {
  const auto found = names.find(key);
  return found == names.end() ? "" : found->second;
}

// "" for a name that nothing of ours has.
std::string our_name(const std::string& architecture, const std::string& name) {
  const std::size_t kind = name.rfind('.');
  if (kind == std::string::npos) return "";
  if (!name.starts_with("blk.")) {
    const std::string outer = lookup(outer_of(architecture), name.substr(0, kind));
    return outer.empty() ? "" : outer + name.substr(kind);
  }
  const std::size_t index = name.find('.', 4);
  if (index >= kind) return "";
  const std::string part = lookup(parts_of(architecture), name.substr(index + 1, kind - index - 1));
  return part.empty() ? "" : blocks_of(architecture) + name.substr(4, index - 4) + "." + part + name.substr(kind);
}

// The row of ours that row `row` of the file is.
std::int64_t our_row(const ModelConfig& config, const std::string& architecture, const std::string& name,
                     std::int64_t row) {
  const std::int64_t size = config.head_dim, within = row % size;
  const bool rotated = name.find(".attn_q.") != std::string::npos || name.find(".attn_k.") != std::string::npos;
  if (architecture == "llama" && rotated) return row - within + within / 2 + (within % 2 == 0 ? 0 : size / 2);
  if (architecture == "gptneox" && name.find(".attn_qkv.") != std::string::npos) {
    const std::int64_t part = row / (config.heads * size), head = row / size % config.heads;
    return head * 3 * size + part * size + within;
  }
  return row;
}

std::string architecture_name(Family family) {
  switch (family) {
    case Family::kQwen2:
      return "qwen2";
    case Family::kQwen3:
      return "qwen3";
    case Family::kGpt2:
      return "gpt2";
    case Family::kGptNeox:
      return "gptneox";
    default:
      return "llama";
  }
}

class GgufCheck {
 public:
  GgufCheck(const fs::path& path, const PackedModel& model, Findings& findings)
      : path_(path), where_(path.filename().string()), model_(model), findings_(findings), file_(path) {}

  void run() {
    const auto found = file_.texts.find("general.architecture");
    architecture_ = found == file_.texts.end() ? "" : found->second;
    if (architecture_ != architecture_name(model_.config.family)) {
      findings_.push_back(where_ + " is of the architecture '" + architecture_ + "', not '" +
                          architecture_name(model_.config.family) + "'");
      return;
    }
    check_keys();
    check_tokens();
    check_tensors();
  }

 private:
  void check_tensors() {
    std::map<std::string, std::string> theirs;  // by our name
    for (const auto& [name, entry] : file_.tensors) {
      const std::string ours = our_name(architecture_, name);
      theirs[ours.empty() ? name : ours] = name;
    }
    if (model_.config.rope_scaling.kind == RopeScaling::Kind::kLlama3) theirs.erase("rope_freqs.weight");
    for (const PackedTensor& tensor : model_.tensors) {
      const auto name = theirs.find(tensor.name);
      if (name == theirs.end()) {
        findings_.push_back("tensor '" + tensor.name + "' of " + where_ + " is missing");
        continue;
      }
      compare(tensor, name->second);
      theirs.erase(name);
    }
    for (const auto& [ours, name] : theirs) {
      findings_.push_back("tensor '" + name + "' of " + where_ + " is not in the packed model");
    }
  }

  void expect(const std::string& key, double value) {
    const auto found = file_.numbers.find(key);
    if (found == file_.numbers.end()) {
      findings_.push_back("key '" + key + "' of " + where_ + " is missing");
    } else if (static_cast<float>(found->second) != static_cast<float>(value)) {
      findings_.push_back("key '" + key + "' of " + where_ + " is " + std::to_string(found->second) +
                          ", the model's is " + std::to_string(value));
    }
  }

  void check_keys() {
    const ModelConfig& config = model_.config;
    const auto number = [](std::int64_t value) { return static_cast<double>(value); };
    const std::string a = architecture_ + ".";
    expect(a + "embedding_length", number(config.hidden_size));
    expect(a + "block_count", number(config.layers));
    expect(a + "feed_forward_length", number(config.intermediate_size));
    expect(a + "attention.head_count", number(config.heads));
    const bool layer_norm = architecture_ == "gpt2" || architecture_ == "gptneox";
    expect(a + (layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"), config.norm_epsilon);
    if (!layer_norm) expect(a + "attention.head_count_kv", number(config.kv_heads));
    if (architecture_ != "gpt2") expect(a + "rope.freq_base", config.rope_theta);
    if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3 && !file_.tensors.contains("rope_freqs.weight"))
      findings_.push_back("tensor 'rope_freqs.weight' of " + where_ + " is missing");
  }

  // As many tokens as rows, each under the id that the tokenizer beside the artifacts gives it.
  void check_tokens() {
    const auto& tokens = file_.lists["tokenizer.ggml.tokens"];
    const auto& kinds = file_.rows["tokenizer.ggml.token_type"];
    if (static_cast<std::int64_t>(tokens.size()) != model_.config.vocab_size || kinds.size() != tokens.size()) {
      findings_.push_back(where_ + " has " + std::to_string(tokens.size()) + " tokens, the model " +
                          std::to_string(model_.config.vocab_size));
      return;
    }
    constexpr double kUnused = 5;
    const fs::path folder = path_.parent_path() / "tokenizer";
    if (!fs::is_directory(folder)) return;
    const auto tokenizer = open_tokenizer(folder);
    std::size_t others = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (kinds[i] != kUnused && tokenizer->id_of(tokens[i]) != static_cast<std::int32_t>(i)) ++others;
    }
    if (others > 0)
      findings_.push_back(where_ + " gives " + std::to_string(others) + " tokens other ids than tokenizer/");
  }

  void compare(const PackedTensor& tensor, const std::string& name) {
    heartbeat::beat();
    const TensorEntry& entry = file_.tensors.at(name);
    const at::Tensor expected = decode_stored(tensor.stored);
    const std::vector<std::uint64_t> sizes(expected.sizes().rbegin(), expected.sizes().rend());
    if (entry.sizes != sizes) {
      findings_.push_back("tensor '" + name + "' of " + where_ + " has another shape than its packed codes");
      return;
    }
    // A vector has its elements where a matrix has its rows.
    const bool vector = sizes.size() == 1;
    const std::int64_t rows = expected.size(0), columns = vector ? 1 : expected.size(1);
    const Block block = gguf_check::block_of(entry.type);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(file_.data().data()) + entry.offset;
    ValueComparison comparison(expected);
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t row = our_row(model_.config, architecture_, name, i);
      for (std::int64_t j = 0; j < columns; ++j) {
        const auto at = static_cast<std::uint64_t>(i * columns + j);
        comparison.add(row * columns + j,
                       gguf_check::element(entry.type, bytes + at / block.values * block.bytes, at % block.values));
      }
    }
    comparison.report(name, where_, findings_);
  }

  fs::path path_;
  std::string where_, architecture_;
  const PackedModel& model_;
  Findings& findings_;
  gguf_check::Container file_;
};

}  // namespace

void check_gguf(const fs::path& path, const PackedModel& model, Findings& findings) {
  GgufCheck(path, model, findings).run();
}

}  // namespace tercet
