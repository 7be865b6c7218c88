// A tokenizer as tables, for files that carry it inside: entries by id, merges, and how text is cut into words.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tercet {

struct VocabularyEntry {
  // What an entry is, with SentencePiece's numbers (sentencepiece_model.proto), which GGUF has taken over.
  enum class Kind { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string text;  // as the tokenizer's file has it, e.g. "Ġthe", "▁the", "<0x0A>"
  float score = 0;   // by SentencePiece: of two pairs, the one with the higher score is merged first
  Kind kind = Kind::kUnused;
};

struct Vocabulary {
  enum class Method { kByteLevel, kSentencePiece };  // BPE over bytes with printable stand-ins; over text with U+2581
  Method method = Method::kByteLevel;
  std::vector<VocabularyEntry> entries;  // by id; an id that stands for nothing is kUnused without text
  std::vector<std::string> merges;       // kByteLevel: "left right", by rank
  std::string pattern;                   // kByteLevel: "gpt-2", "llama-3", "qwen2"; "": text is cut in another way
  bool space_prefix = true;              // kSentencePiece: a text begins as if after a space
};

// The tokenizer that open_tokenizer(folder) opens, except that a tokenizer.model is preferred where both are there: it
// has the scores. Of a tokenizer.json in the style of Llama 2 the score of an entry is minus the rank of the merge that
// makes it. Throws DataError naming the file for what tables of this kind cannot say (Unigram models).
Vocabulary read_vocabulary(const std::filesystem::path& folder);

}  // namespace tercet
