// Tokenizers of Hugging Face folders, exact to the id: tokenizer.json (BPE: ByteLevel and Metaspace/Llama style),
// SentencePiece tokenizer.model, GPT-2 vocab.json + merges.txt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tercet {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Appends the ids of `text` (valid UTF-8) without adding BOS/EOS; special tokens written in the text are recognised
  // as the tokenizers package does with add_special_tokens=False. Thread-safe.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& ids) const = 0;
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  virtual std::int64_t vocab_size() const = 0;                     // largest id + 1
  virtual std::int64_t eos_token() const = 0;                      // -1: none known
  virtual std::int32_t id_of(const std::string& entry) const = 0;  // of an added token or vocabulary entry; -1: none
  virtual std::string hash() const = 0;                            // SHA-256 of the defining files
};

// Chooses by what the folder holds: tokenizer.json, else tokenizer.model, else vocab.json + merges.txt.
// Throws DataError naming file and feature for anything malformed or unsupported.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder);

// Writes tokenizer.json and tokenizer_config.json of a byte-level tokenizer without merges: 256 bytes and
// "<|endoftext|>" (id 256). Loads in transformers and here.
void write_byte_tokenizer(const std::filesystem::path& folder);

// The tokenizer files of a model folder: what copy_tokenizer copies.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& folder);
// The tokenizer files of a model folder, copied into `target` (tokenizer.json, tokenizer.model, vocab.json, merges.txt,
// tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template*; those that exist).
void copy_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& target);

}  // namespace tercet
