// The older pair of files, vocab.json and merges.txt, as the tokenizer.json that means the same.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace tercet::text {

struct Gpt2Files {
  nlohmann::json document;
  std::string hash;
};

// `settings` is the folder's tokenizer_config.json (an empty object where it has none): its tokenizer_class tells
// GPT-2 from Qwen2. Throws DataError.
Gpt2Files read_gpt2_files(const std::filesystem::path& vocabulary, const std::filesystem::path& merges,
                          const nlohmann::json& settings);

}  // namespace tercet::text
