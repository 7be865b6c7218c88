#include "text/json_tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "tercet/base/error.hpp"
#include "text/unicode.hpp"

namespace tercet::text {
namespace {

const nlohmann::json kNull;
const nlohmann::json kNoTokens = nlohmann::json::array();

JsonView section(const nlohmann::json& document, const std::string& file, const std::string& key) {
  const JsonView root(document, file);
  return root.has(key) ? root.at(key) : JsonView(key == "added_tokens" ? kNoTokens : kNull, file, key);
}

}  // namespace

JsonTokenizer::JsonTokenizer(const nlohmann::json& document, const std::string& file, std::string hash)
    : normalizer_(section(document, file, "normalizer")),
      pre_tokenizer_(section(document, file, "pre_tokenizer")),
      model_(JsonView(document, file).at("model"), pre_tokenizer_.byte_level()),
      added_(section(document, file, "added_tokens"), model_, normalizer_),
      decoder_(section(document, file, "decoder")),
      file_(file),
      hash_(std::move(hash)) {}

void JsonTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string_view::npos) {
    throw DataError("cannot tokenize a text", "it is not valid UTF-8 at byte " + std::to_string(bad));
  }
  ScratchPool<BpeScratch>::Lease scratch(scratches_);
  const auto found = [&](std::int32_t id) { ids.push_back(id); };
  added_.in_raw_text().split(
      text,
      [&](std::string_view raw) {
        std::string owned;
        if (!normalizer_.empty()) owned = normalizer_(raw);
        const std::string_view normalized = normalizer_.empty() ? raw : std::string_view(owned);
        const bool at_start = raw.data() == text.data();
        added_.in_normalized_text().split(
            normalized,
            [&](std::string_view plain) {
              pre_tokenizer_.split(plain, at_start && plain.data() == normalized.data(),
                                   [&](std::string_view word, bool) { model_.encode(word, *scratch, ids); });
            },
            found);
      },
      found);
}

std::string JsonTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::vector<std::string> entries;
  entries.reserve(ids.size());
  for (std::int32_t id : ids) {
    const std::string* entry = added_.content_of(id);
    if (entry == nullptr) entry = model_.entry_of(id);
    if (entry != nullptr) entries.push_back(*entry);
  }
  return decoder_(std::move(entries));
}

std::int64_t JsonTokenizer::vocab_size() const {
  return std::max(model_.largest_id(), added_.largest_id()) + 1;
}

std::int32_t JsonTokenizer::id_of(const std::string& entry) const {
  const std::int32_t added = added_.id_of(entry);
  return added >= 0 ? added : model_.id_of(entry);
}

}  // namespace tercet::text
