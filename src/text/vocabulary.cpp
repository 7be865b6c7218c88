#include "tercet/text/vocabulary.hpp"

#include <cstring>
#include <unordered_map>

#include "tercet/base/file.hpp"
#include "text/json_tokenizer.hpp"
#include "text/limits.hpp"
#include "text/message_reader.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/tokenizer_document.hpp"

namespace tercet {
namespace fs = std::filesystem;
using text::JsonView;
using text::MessageReader;
using Kind = VocabularyEntry::Kind;
namespace {

constexpr std::uintmax_t kLargestModel = std::uintmax_t{256} << 20;
constexpr float kNeverMerged = -1e9F;
// Llama 3's tokenizer.json, and Qwen2's, which takes digits one by one.
constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// --- SentencePiece: sentencepiece_model.proto ---

VocabularyEntry piece_entry(std::string_view message) {
  VocabularyEntry entry{.kind = Kind::kNormal};
  for (MessageReader piece(message); piece.next();) {
    if (piece.field() == 1) entry.text = piece.bytes();
    if (piece.field() == 2 && piece.bytes().size() == 4) std::memcpy(&entry.score, piece.bytes().data(), 4);
    if (piece.field() == 3 && piece.value() >= 1 && piece.value() <= 6) entry.kind = static_cast<Kind>(piece.value());
  }
  return entry;
}

std::uint64_t number_in(std::string_view message, std::uint64_t field, std::uint64_t otherwise) {
  for (MessageReader reader(message); reader.next();) {
    if (reader.field() == field) otherwise = reader.value();
  }
  return otherwise;
}

Vocabulary sentencepiece_vocabulary(const fs::path& file) {
  constexpr std::uint64_t kBpe = 2;  // TrainerSpec.ModelType
  const std::string content = read_file(file, kLargestModel);
  Vocabulary vocabulary{.method = Vocabulary::Method::kSentencePiece};
  std::uint64_t type = 1;
  for (MessageReader model(content); model.next();) {
    if (model.field() == 1) vocabulary.entries.push_back(piece_entry(model.bytes()));
    if (model.field() == 2) type = number_in(model.bytes(), 3, type);
    if (model.field() == 3) vocabulary.space_prefix = number_in(model.bytes(), 3, 1) != 0;
  }
  if (type != kBpe) {
    throw DataError("the entries of '" + file.string() + "' cannot be written as a table with merges",
                    "it is no BPE model");
  }
  return vocabulary;
}

// --- tokenizer.json ---

std::string merge_text(const JsonView& merge) {
  return merge.is_array() ? merge.at(0).string() + " " + merge.at(1).string() : merge.string();
}

// Which of the known ways the pre-tokenizer cuts text in; "" for every other.
std::string pattern_of(const JsonView& steps) {
  const auto cuts = [](const JsonView& step) { return step.boolean_or("use_regex", true); };
  const auto prefixes = [](const JsonView& step) { return step.boolean_or("add_prefix_space", true); };
  if (steps.type() == "ByteLevel") return cuts(steps) && !prefixes(steps) ? "gpt-2" : "";
  if (steps.type() != "Sequence") return "";
  const JsonView parts = steps.at("pretokenizers");
  if (parts.size() != 2 || parts.at(0).type() != "Split" || parts.at(1).type() != "ByteLevel") return "";
  const JsonView split = parts.at(0);
  if (cuts(parts.at(1)) || prefixes(parts.at(1)) || split.boolean_or("invert", false)) return "";
  if (split.string_or("behavior", "") != "Isolated") return "";
  const std::string expression = split.at("pattern").string_or("Regex", "");
  return expression == kLlama3Pattern ? "llama-3" : expression == kQwen2Pattern ? "qwen2" : "";
}

// Whether text gets a marker in front, by the normalizer ("Prepend") or by the pre-tokenizer ("Metaspace").
bool prefixes_space(const JsonView& root) {
  if (root.has("pre_tokenizer") && root.at("pre_tokenizer").type() == "Metaspace")
    return text::prepend_scheme(root.at("pre_tokenizer")) != text::PrependScheme::kNever;
  if (!root.has("normalizer")) return false;
  const JsonView normalizer = root.at("normalizer");
  if (normalizer.type() == "Prepend") return true;
  if (normalizer.type() != "Sequence") return false;
  const JsonView parts = normalizer.at("normalizers");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts.at(i).type() == "Prepend") return true;
  }
  return false;
}

class JsonVocabulary {
 public:
  explicit JsonVocabulary(const text::TokenizerDocument& found)
      : root_(found.document, found.file), tokenizer_(found.document, found.file, found.hash) {}

  Vocabulary read() {
    const JsonView model = root_.at("model");
    const nlohmann::json none;
    const text::PreTokenizer cutter(root_.has("pre_tokenizer") ? root_.at("pre_tokenizer") : JsonView(none, ""));
    vocabulary_.method = cutter.byte_level() ? Vocabulary::Method::kByteLevel : Vocabulary::Method::kSentencePiece;
    vocabulary_.entries.resize(static_cast<std::size_t>(tokenizer_.vocab_size()));
    read_entries(model);
    if (cutter.byte_level()) {
      read_merges(model.at("merges"));
      vocabulary_.pattern = pattern_of(root_.at("pre_tokenizer"));
    } else {
      read_scores(model);
    }
    return with_added(std::move(vocabulary_));
  }

  // `vocabulary` with the added tokens, which a tokenizer.model beside the tokenizer.json need not have.
  Vocabulary with_added(Vocabulary vocabulary) {
    const auto size = static_cast<std::size_t>(tokenizer_.vocab_size());
    if (vocabulary.entries.size() < size) vocabulary.entries.resize(size);
    if (root_.has("added_tokens")) read_added(root_.at("added_tokens"), vocabulary);
    return vocabulary;
  }

 private:
  void read_entries(const JsonView& model) {
    model.at("vocab").for_each_member([&](const std::string& text, const JsonView& id) {
      vocabulary_.entries.at(static_cast<std::size_t>(id.integer(0, text::kLargestId))) = {text, 0, Kind::kNormal};
    });
  }

  void read_merges(const JsonView& merges) {
    for (std::size_t i = 0; i < merges.size(); ++i) vocabulary_.merges.push_back(merge_text(merges.at(i)));
  }

  // Merging the pair with the highest score is then merging the pair with the lowest rank.
  void read_scores(const JsonView& model) {
    if (!model.boolean_or("byte_fallback", false)) {
      model.fail("its entries cannot be written as a table with scores: it has no byte_fallback");
    }
    vocabulary_.space_prefix = prefixes_space(root_);
    std::unordered_map<std::string, float> scores;
    const JsonView merges = model.at("merges");
    for (std::size_t i = 0; i < merges.size(); ++i) {
      std::string merged = merge_text(merges.at(i));
      merged.erase(merged.find(' '), 1);
      scores.try_emplace(std::move(merged), -static_cast<float>(i));
    }
    const std::string unknown = model.string_or("unk_token", "");
    for (VocabularyEntry& entry : vocabulary_.entries) {
      const bool is_byte = entry.text.size() == 6 && entry.text.starts_with("<0x") && entry.text.ends_with('>');
      if (is_byte) entry.kind = Kind::kByte;
      if (!unknown.empty() && entry.text == unknown) entry.kind = Kind::kUnknown;
      const auto found = scores.find(entry.text);
      if (entry.kind == Kind::kNormal) entry.score = found == scores.end() ? kNeverMerged : found->second;
    }
  }

  void read_added(const JsonView& tokens, Vocabulary& vocabulary) const {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string& text = tokens.at(i).at("content").string();
      const std::int32_t id = tokenizer_.id_of(text);
      if (id < 0) continue;
      VocabularyEntry& entry = vocabulary.entries.at(static_cast<std::size_t>(id));
      const bool special = tokens.at(i).boolean_or("special", false);
      if (entry.kind != Kind::kUnknown) entry.kind = special ? Kind::kControl : Kind::kUserDefined;
      entry.text = text;
    }
  }

  JsonView root_;
  text::JsonTokenizer tokenizer_;
  Vocabulary vocabulary_;
};

}  // namespace

Vocabulary read_vocabulary(const fs::path& folder) {
  const auto document = text::tokenizer_json(folder);
  if (fs::exists(folder / "tokenizer.model")) {
    Vocabulary vocabulary = sentencepiece_vocabulary(folder / "tokenizer.model");
    return document ? JsonVocabulary(*document).with_added(std::move(vocabulary)) : vocabulary;
  }
  if (document) return JsonVocabulary(*document).read();
  if (const auto found = text::vocabulary_and_merges(folder)) return JsonVocabulary(*found).read();
  throw DataError("no tokenizer found in '" + folder.string() + "'",
                  "it has neither tokenizer.json, nor tokenizer.model, nor vocab.json with merges.txt");
}

}  // namespace tercet
