// SentencePiece models, by libsentencepiece.
#pragma once

#include <filesystem>
#include <memory>

#include "tercet/text/tokenizer.hpp"

namespace tercet::text {

// Opens a tokenizer.model. `eos_entry` is the end-of-text entry where the folder names one, else "". Throws DataError.
std::unique_ptr<Tokenizer> open_sentencepiece(const std::filesystem::path& path, const std::string& eos_entry);

}  // namespace tercet::text
