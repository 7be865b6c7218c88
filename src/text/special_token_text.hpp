// What a folder calls its special tokens.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace tercet::text {

nlohmann::json read_if_there(const std::filesystem::path& path);  // an empty object for a file that is not there

// `key` ("bos_token", "eos_token") of tokenizer_config.json, else of special_tokens_map.json; "": not named.
std::string special_token_text(const std::filesystem::path& folder, const std::string& key);

}  // namespace tercet::text
