#include "gguf_model.hpp"
#include "tercet/base/error.hpp"

namespace tercet {
namespace {

// llama.cpp's names of the ways to cut text into words before merging.
std::string pre_tokenizer(const Vocabulary& vocabulary) {
  if (vocabulary.pattern == "llama-3") return "llama-bpe";
  return vocabulary.pattern.empty() ? "default" : vocabulary.pattern;
}

void set_id(const std::string& name, std::int64_t id, GgufFile& file) {
  if (id >= 0) file.set("tokenizer.ggml." + name + "_token_id", static_cast<std::uint32_t>(id));
}

}  // namespace

void set_tokenizer_keys(const Vocabulary& vocabulary, const GgufTokenIds& ids, std::int64_t rows, GgufFile& file) {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> kinds;
  std::vector<float> scores;
  for (const VocabularyEntry& entry : vocabulary.entries) {
    const bool unused = entry.kind == VocabularyEntry::Kind::kUnused && entry.text.empty();
    tokens.push_back(unused ? "[PAD" + std::to_string(tokens.size()) + "]" : entry.text);
    kinds.push_back(static_cast<std::int32_t>(entry.kind));
    scores.push_back(entry.score);
  }
  while (static_cast<std::int64_t>(tokens.size()) < rows) {
    tokens.push_back("[PAD" + std::to_string(tokens.size()) + "]");
    kinds.push_back(static_cast<std::int32_t>(VocabularyEntry::Kind::kUnused));
    scores.push_back(0);
  }
  if (static_cast<std::int64_t>(tokens.size()) != rows) {
    throw DataError("the tokenizer has " + std::to_string(tokens.size()) + " entries, the embedding " +
                    std::to_string(rows) + " rows");
  }
  const bool bytes = vocabulary.method == Vocabulary::Method::kByteLevel;
  file.set("tokenizer.ggml.model", std::string(bytes ? "gpt2" : "llama"));
  file.set("tokenizer.ggml.pre", bytes ? pre_tokenizer(vocabulary) : std::string("default"));
  file.set("tokenizer.ggml.tokens", std::move(tokens));
  file.set("tokenizer.ggml.token_type", std::move(kinds));
  if (bytes) {
    file.set("tokenizer.ggml.merges", vocabulary.merges);
  } else {
    file.set("tokenizer.ggml.scores", std::move(scores));
    file.set("tokenizer.ggml.add_space_prefix", vocabulary.space_prefix);
  }
  set_id("bos", ids.bos, file);
  set_id("eos", ids.eos, file);
  file.set("tokenizer.ggml.add_bos_token", ids.add_bos);
  file.set("tokenizer.ggml.add_eos_token", ids.add_eos);
}

}  // namespace tercet
