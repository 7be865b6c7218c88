#include "text/gpt2_files.hpp"

#include <map>

#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "text/json_view.hpp"
#include "text/limits.hpp"
#include "text/text_files.hpp"

namespace tercet::text {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr std::uintmax_t kLargestMerges = std::uintmax_t{256} << 20;
// Qwen2's pattern differs from Llama 3's in taking digits one by one.
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json read_merges(const fs::path& path) {
  const std::string text = read_file(path, kLargestMerges);
  require_utf8(text, path);
  json merges = json::array();
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      throw DataError("'" + path.string() + "' is not a list of merges",
                      "line " + std::to_string(number) + " is not two parts with one space between");
    }
    if (merges.size() == kMostMerges) {
      throw DataError("'" + path.string() + "' is too large",
                      "it has more than " + std::to_string(kMostMerges) + " merges");
    }
    merges.push_back(json::array({line.substr(0, space), line.substr(space + 1)}));
  }
  return merges;
}

json added_token(const std::string& content, bool special) {
  return {{"content", content}, {"special", special}, {"normalized", !special}};
}

// Tokens with their ids, in the order of the ids.
json added_tokens(const fs::path& folder, const json& settings, const json& vocabulary) {
  std::map<long, json> by_id;
  if (settings.contains("added_tokens_decoder") && settings["added_tokens_decoder"].is_object()) {
    for (const auto& [id, token] : settings["added_tokens_decoder"].items()) {
      by_id[std::strtol(id.c_str(), nullptr, 10)] = token;
    }
  } else if (fs::exists(folder / "added_tokens.json")) {
    const json listed = read_json(folder / "added_tokens.json");
    const JsonView view(listed, (folder / "added_tokens.json").string());
    view.for_each_member([&](const std::string& content, const JsonView& id) {
      by_id[static_cast<long>(id.integer(0, 1 << 24))] = added_token(content, false);
    });
  }
  const std::string end = "<|endoftext|>";
  if (by_id.empty() && vocabulary.contains(end)) by_id[0] = added_token(end, true);
  json tokens = json::array();
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

}  // namespace

Gpt2Files read_gpt2_files(const fs::path& vocabulary_path, const fs::path& merges_path, const json& settings) {
  const JsonView view(settings, (vocabulary_path.parent_path() / "tokenizer_config.json").string());
  const std::string kind = view.string_or("tokenizer_class", "GPT2Tokenizer");
  const bool qwen = kind.starts_with("Qwen2Tokenizer");
  if (!qwen && !kind.starts_with("GPT2Tokenizer")) {
    view.at("tokenizer_class").fail("'" + kind + "' from vocab.json and merges.txt is not supported");
  }
  const json vocabulary = read_json(vocabulary_path);
  if (!vocabulary.is_object()) throw DataError("'" + vocabulary_path.string() + "' is not a vocabulary");
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", view.boolean_or("add_prefix_space", false)}, {"use_regex", !qwen}};
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}};
  Gpt2Files files;
  files.document = {{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", read_merges(merges_path)}}},
                    {"added_tokens", added_tokens(vocabulary_path.parent_path(), settings, vocabulary)},
                    {"decoder", {{"type", "ByteLevel"}}},
                    {"pre_tokenizer", byte_level}};
  if (qwen) {
    files.document["normalizer"] = {{"type", "NFC"}};
    files.document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array({split, byte_level})}};
  }
  files.hash = sha256_hex(files.document.dump());
  return files;
}

}  // namespace tercet::text
