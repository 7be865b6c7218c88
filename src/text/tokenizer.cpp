#include "tercet/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "text/byte_level.hpp"
#include "text/json_tokenizer.hpp"
#include "text/json_view.hpp"
#include "text/sentencepiece_tokenizer.hpp"
#include "text/special_token_text.hpp"
#include "text/tokenizer_document.hpp"
#include "text/unicode.hpp"

namespace tercet {
namespace fs = std::filesystem;
using nlohmann::json;
using text::JsonTokenizer;
using text::JsonView;
namespace {

constexpr const char* kEndOfText = "<|endoftext|>";

// Of "eos_token_id", a number or a list, in config.json.
std::int64_t eos_in_model_config(const fs::path& folder, std::int64_t vocab_size) {
  const json config = text::read_if_there(folder / "config.json");
  const JsonView view(config, (folder / "config.json").string());
  if (!view.has("eos_token_id")) return -1;
  JsonView id = view.at("eos_token_id");
  if (id.is_array()) {
    if (id.size() == 0) return -1;
    id = id.at(std::size_t{0});
  }
  const std::int64_t value = id.integer(INT32_MIN, INT32_MAX);
  return value >= 0 && value < vocab_size ? value : -1;
}

std::int64_t find_eos(const fs::path& folder, const JsonTokenizer& tokenizer) {
  const std::string text = text::special_token_text(folder, "eos_token");
  if (!text.empty() && tokenizer.id_of(text) >= 0) return tokenizer.id_of(text);
  const std::int64_t configured = eos_in_model_config(folder, tokenizer.vocab_size());
  if (configured >= 0) return configured;
  for (const char* usual : {kEndOfText, "</s>", "<|end_of_text|>"}) {
    if (tokenizer.id_of(usual) >= 0) return tokenizer.id_of(usual);
  }
  return -1;
}

void copy_unread(const fs::path& folder, const std::string& name, const fs::path& target) {
  if (!copy_inside(folder, name, target)) {
    log::warn("'" + (folder / name).string() + "' is a link out of its folder and is not copied");
  }
}

std::unique_ptr<Tokenizer> finish(const fs::path& folder, const text::TokenizerDocument& found) {
  auto tokenizer = std::make_unique<JsonTokenizer>(found.document, found.file, found.hash);
  tokenizer->set_eos_token(find_eos(folder, *tokenizer));
  return tokenizer;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& folder) {
  if (const auto found = text::tokenizer_json(folder)) return finish(folder, *found);
  if (fs::exists(folder / "tokenizer.model")) {
    return text::open_sentencepiece(folder / "tokenizer.model", text::special_token_text(folder, "eos_token"));
  }
  if (const auto found = text::vocabulary_and_merges(folder)) return finish(folder, *found);
  throw DataError("no tokenizer found in '" + folder.string() + "'",
                  "it has neither tokenizer.json, nor tokenizer.model, nor vocab.json with merges.txt",
                  "copy the tokenizer's files into the model's folder");
}

void write_byte_tokenizer(const fs::path& folder) {
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string entry;
    text::append_utf8(entry, text::byte_code_points()[static_cast<std::size_t>(byte)]);
    vocabulary[entry] = byte;
  }
  vocabulary[kEndOfText] = 256;
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const json end = {{"id", 256},       {"content", kEndOfText}, {"single_word", false}, {"lstrip", false},
                    {"rstrip", false}, {"normalized", false},   {"special", true}};
  const json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", false},
                      {"vocab", vocabulary},
                      {"merges", json::array()}};
  const json document = {{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
                         {"added_tokens", {end}},     {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
                         {"post_processor", nullptr}, {"decoder", byte_level}, {"model", model}};
  const json settings = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"bos_token", kEndOfText},
                         {"eos_token", kEndOfText},
                         {"clean_up_tokenization_spaces", false}};
  fs::create_directories(folder);
  write_file_atomically(folder / "tokenizer.json", document.dump(1));
  write_file_atomically(folder / "tokenizer_config.json", settings.dump(1));
}

namespace {

// Files that were read, within bounds, when the tokenizer was opened.
constexpr std::array kReadFiles = {"tokenizer.json", "tokenizer.model", "vocab.json",           "merges.txt",
                                   "encoder.json",   "vocab.bpe",       "tokenizer_config.json"};
constexpr std::array kOtherFiles = {"special_tokens_map.json", "added_tokens.json"};

}  // namespace

std::vector<fs::path> tokenizer_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : kReadFiles) {
    if (fs::exists(folder / name)) files.push_back(folder / name);
  }
  for (const char* name : kOtherFiles) {
    if (fs::exists(folder / name)) files.push_back(folder / name);
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("chat_template") && entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

void copy_tokenizer(const fs::path& folder, const fs::path& target) {
  std::error_code error;
  fs::create_directories(target, error);
  if (error) throw StoreError("cannot create '" + target.string() + "'", error.message());
  for (const fs::path& file : tokenizer_files(folder)) {
    const std::string name = file.filename().string();
    const bool read = std::find(kReadFiles.begin(), kReadFiles.end(), name) != kReadFiles.end();
    if (read) write_file_atomically(target / name, MappedFile(file).text());
    if (!read) copy_unread(folder, name, target);
  }
}

}  // namespace tercet
