// The tables of a tokenizer as GGUF carries them.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "artifact/gguf_model.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/base/error.hpp"
#include "tercet/text/tokenizer.hpp"
#include "tercet/text/vocabulary.hpp"

namespace tercet {
namespace {

using Kind = VocabularyEntry::Kind;
using test::ScratchFolder;

// A byte-level tokenizer.json of four entries and one added token, with this pre-tokenizer.
std::string byte_level(const std::string& pre_tokenizer) {
  return R"({"added_tokens": [{"id": 4, "content": "<end>", "special": true}, {"id": 5, "content": "<x>", "special": false}],
             "normalizer": null, "decoder": {"type": "ByteLevel"}, "pre_tokenizer": )" +
         pre_tokenizer +
         R"(, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3}, "merges": [["a", "b"], "ab a"]}})";
}

Vocabulary vocabulary_of(const std::string& tokenizer_json) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", tokenizer_json);
  return read_vocabulary(folder.path());
}

TEST(Vocabulary, OfABytesTokenizerHasMergesAndTheKindsOfItsTokens) {
  const Vocabulary vocabulary = vocabulary_of(byte_level(R"({"type": "ByteLevel", "add_prefix_space": false})"));
  EXPECT_EQ(vocabulary.method, Vocabulary::Method::kByteLevel);
  EXPECT_EQ(vocabulary.pattern, "gpt-2");
  EXPECT_EQ(vocabulary.merges, (std::vector<std::string>{"a b", "ab a"}));
  std::map<std::string, Kind> kinds;
  for (const VocabularyEntry& entry : vocabulary.entries) kinds[entry.text] = entry.kind;
  EXPECT_EQ(kinds.at("aba"), Kind::kNormal);
  EXPECT_EQ(kinds.at("<end>"), Kind::kControl);
  EXPECT_EQ(kinds.at("<x>"), Kind::kUserDefined);
  EXPECT_EQ(vocabulary.entries.size(), 6);
}

TEST(Vocabulary, KnowsTheWaysToCutTextThatOthersHaveNamesFor) {
  const std::string bytes = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
  const auto pattern = [&](const std::string& expression) {
    const std::string split =
        R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")" + expression + R"("}})";
    return vocabulary_of(byte_level(R"({"type": "Sequence", "pretokenizers": [)" + split + ", " + bytes + "]}"))
        .pattern;
  };
  const std::string letters = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N})";
  const std::string rest = R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";
  EXPECT_EQ(pattern(letters + rest), "qwen2");
  EXPECT_EQ(pattern(letters + "{1,3}" + rest), "llama-3");
  EXPECT_EQ(pattern("x"), "");
  EXPECT_EQ(vocabulary_of(byte_level(bytes)).pattern, "");
  EXPECT_EQ(vocabulary_of(byte_level(R"({"type": "ByteLevel", "add_prefix_space": true})")).pattern, "");
}

// Llama 2's style: of two pairs SentencePiece merges the one with the higher score, BPE the one with the lower rank.
TEST(Vocabulary, GivesEntriesMadeByMergesTheNegatedRankAsScore) {
  const std::string file = R"({"added_tokens": [{"id": 1, "content": "<s>", "special": true}],
      "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"},
                     {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]},
      "pre_tokenizer": null, "decoder": null,
      "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
                "vocab": {"<unk>": 0, "<s>": 1, "<0x41>": 2, "a": 3, "b": 4, "ab": 5, "ba": 6},
                "merges": ["b a", "a b"]}})";
  const Vocabulary vocabulary = vocabulary_of(file);
  EXPECT_EQ(vocabulary.method, Vocabulary::Method::kSentencePiece);
  EXPECT_TRUE(vocabulary.space_prefix);
  EXPECT_EQ(vocabulary.entries[0].kind, Kind::kUnknown);
  EXPECT_EQ(vocabulary.entries[1].kind, Kind::kControl);
  EXPECT_EQ(vocabulary.entries[2].kind, Kind::kByte);
  EXPECT_EQ(vocabulary.entries[5].score, -1);
  EXPECT_GT(vocabulary.entries[6].score, vocabulary.entries[5].score);
  EXPECT_LT(vocabulary.entries[3].score, -1e6);
}

// Fields as protocol buffers write them: tag = number * 8 + wire type.
std::string field(int number, const std::string& content) {
  return std::string(1, static_cast<char>(number * 8 + 2)) + static_cast<char>(content.size()) + content;
}
std::string field(int number, int value) {
  return std::string(1, static_cast<char>(number * 8)) + static_cast<char>(value);
}
std::string piece(const std::string& text, float score, int kind) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &score, 4);
  return field(1, field(1, text) + static_cast<char>(2 * 8 + 5) + bytes + field(3, kind));
}

TEST(Vocabulary, OfASentencePieceModelHasItsScoresAndKinds) {
  const std::string pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("ab", -1.5F, 1);
  const auto read = [&](const std::string& more) {
    const ScratchFolder folder;
    folder.write("tokenizer.model", pieces + more);
    return read_vocabulary(folder.path());
  };
  const Vocabulary bpe = read(field(2, field(3, 2)) + field(3, field(3, 0)));
  ASSERT_EQ(bpe.entries.size(), 3);
  EXPECT_EQ(bpe.entries[2].text, "ab");
  EXPECT_EQ(bpe.entries[2].score, -1.5F);
  EXPECT_EQ(bpe.entries[1].kind, Kind::kControl);
  EXPECT_FALSE(bpe.space_prefix);
  EXPECT_MENTIONS(test::message_of<DataError>([&] { read(field(2, field(3, 1))); }), "it is no BPE model");
}

template <typename Value>
const Value& key_of(const GgufFile& file, const std::string& key) {
  for (const auto& [name, value] : file.keys) {
    if (name == "tokenizer.ggml." + key) return std::get<Value>(value);
  }
  throw std::runtime_error("no key " + key);
}

TEST(GgufTokenizer, HasAsManyTokensAsTheEmbeddingHasRows) {
  const Vocabulary vocabulary = vocabulary_of(byte_level(R"({"type": "ByteLevel", "add_prefix_space": false})"));
  GgufFile file;
  set_tokenizer_keys(vocabulary, {-1, 4, false, true}, 9, file);
  const auto& tokens = key_of<std::vector<std::string>>(file, "tokens");
  EXPECT_EQ(tokens.size(), 9);
  EXPECT_EQ(tokens[6], "[PAD6]");
  EXPECT_EQ(tokens[8], "[PAD8]");
  EXPECT_EQ(key_of<std::string>(file, "pre"), "gpt-2");
  EXPECT_EQ(key_of<std::uint32_t>(file, "eos_token_id"), 4);
  EXPECT_THROW(key_of<std::uint32_t>(file, "bos_token_id"), std::runtime_error);
  EXPECT_TRUE(key_of<bool>(file, "add_eos_token"));
  GgufFile small;
  EXPECT_THROW(set_tokenizer_keys(vocabulary, {}, 3, small), DataError);
}

}  // namespace
}  // namespace tercet
