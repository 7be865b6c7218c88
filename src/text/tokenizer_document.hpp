// The tokenizer.json of a folder, or what stands for it: the older pair of files as a document of the same meaning.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace tercet::text {

struct TokenizerDocument {
  nlohmann::json document;
  std::string file;  // to name in errors
  std::string hash;  // SHA-256 of the defining files
};

// Nothing where the folder has neither tokenizer.json nor such a pair (but perhaps a tokenizer.model). Throws
// DataError.
std::optional<TokenizerDocument> tokenizer_json(const std::filesystem::path& folder);
std::optional<TokenizerDocument> vocabulary_and_merges(const std::filesystem::path& folder);

}  // namespace tercet::text
