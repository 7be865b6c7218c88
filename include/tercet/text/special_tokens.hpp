// What a tokenizer's settings put around a text or a conversation, and what stands where there is no text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tercet/text/tokenizer.hpp"

namespace tercet {

struct SpecialTokens {
  std::int64_t bos = -1;                    // -1: none known
  std::vector<std::int32_t> before, after;  // a text, as transformers' tokenizers do with add_special_tokens=True
};

// Of the tokenizer that open_tokenizer finds in `folder`: the post-processor of tokenizer.json; without one,
// add_bos_token and add_eos_token of tokenizer_config.json (a tokenizer.model adds BOS unless told otherwise).
// Throws DataError for a post-processor that is neither a template nor ByteLevel.
SpecialTokens read_special_tokens(const std::filesystem::path& folder, const Tokenizer& tokenizer);

// The Jinja template by which a chat model's messages become text: chat_template.jinja, else chat_template of
// tokenizer_config.json (of several the one named "default"); "": the model has none. Throws DataError, StoreError.
std::string read_chat_template(const std::filesystem::path& folder);

}  // namespace tercet
