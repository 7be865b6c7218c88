#include "tercet/text/special_tokens.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "tercet/base/file.hpp"
#include "text/json_view.hpp"
#include "text/special_token_text.hpp"

namespace tercet {
namespace fs = std::filesystem;
using nlohmann::json;

namespace text {
namespace {

// A special token is written as a string or as an object with "content".
std::string token_text(const JsonView& settings, const std::string& key) {
  if (!settings.has(key)) return "";
  const JsonView token = settings.at(key);
  return token.is_object() ? token.string_or("content", "") : token.string();
}

constexpr std::int64_t kLargestListedId = (std::int64_t{1} << 31) - 1;

void append_ids(const JsonView& ids, std::vector<std::int32_t>& out) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    out.push_back(static_cast<std::int32_t>(ids.at(i).integer(0, kLargestListedId)));
  }
}

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<s>": {"ids": [1]}}}
void read_template(const JsonView& processor, SpecialTokens& special) {
  bool after = false;
  const JsonView pieces = processor.at("single");
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const JsonView piece = pieces.at(i);
    if (piece.has("Sequence")) {
      after = true;
    } else {
      const std::string name = piece.at("SpecialToken").at("id").string();
      append_ids(processor.at("special_tokens").at(name).at("ids"), after ? special.after : special.before);
    }
  }
}

void read_post_processor(const JsonView& processor, SpecialTokens& special) {
  const std::string type = processor.type();
  if (type == "TemplateProcessing") return read_template(processor, special);
  if (type == "ByteLevel") return;  // moves offsets alone
  if (type != "Sequence") processor.fail("the post-processor '" + type + "' is not supported");
  const JsonView parts = processor.at("processors");
  for (std::size_t i = 0; i < parts.size(); ++i) read_post_processor(parts.at(i), special);
}

}  // namespace

constexpr std::uintmax_t kLargestTemplate = 1 << 20;  // bytes; those of known models are below 20,000

json read_if_there(const fs::path& path) {
  return fs::exists(path) ? read_json(path) : json::object();
}

std::string special_token_text(const fs::path& folder, const std::string& key) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const json settings = read_if_there(folder / name);
    const std::string text = token_text(JsonView(settings, (folder / name).string()), key);
    if (!text.empty()) return text;
  }
  return "";
}

}  // namespace text

SpecialTokens read_special_tokens(const fs::path& folder, const Tokenizer& tokenizer) {
  const json document = text::read_if_there(folder / "tokenizer.json");
  const bool sentencepiece = !fs::exists(folder / "tokenizer.json") && fs::exists(folder / "tokenizer.model");
  std::string bos = text::special_token_text(folder, "bos_token");
  if (bos.empty() && sentencepiece) bos = "<s>";  // what transformers takes for it
  SpecialTokens special;
  if (!bos.empty()) special.bos = tokenizer.id_of(bos);
  const text::JsonView root(document, (folder / "tokenizer.json").string());
  if (root.has("post_processor")) {
    text::read_post_processor(root.at("post_processor"), special);
    return special;
  }
  const json settings = text::read_if_there(folder / "tokenizer_config.json");
  const text::JsonView view(settings, (folder / "tokenizer_config.json").string());
  if (view.boolean_or("add_bos_token", sentencepiece) && special.bos >= 0) {
    special.before = {static_cast<std::int32_t>(special.bos)};
  }
  if (view.boolean_or("add_eos_token", false) && tokenizer.eos_token() >= 0) {
    special.after = {static_cast<std::int32_t>(tokenizer.eos_token())};
  }
  return special;
}

std::string read_chat_template(const fs::path& folder) {
  const fs::path file = folder / "chat_template.jinja";
  if (fs::exists(file)) return read_file(file, text::kLargestTemplate);
  const json settings = text::read_if_there(folder / "tokenizer_config.json");
  const text::JsonView view(settings, (folder / "tokenizer_config.json").string());
  if (!view.has("chat_template")) return "";
  const text::JsonView found = view.at("chat_template");
  if (!found.is_array()) return found.string();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found.at(i).at("name").string() == "default") return found.at(i).at("template").string();
  }
  return "";
}

}  // namespace tercet
