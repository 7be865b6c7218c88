// What a tokenizer's settings put around a text, and what stands where there is no text.
#pragma once

#include <cstdint>
#include <filesystem>
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

}  // namespace tercet
