#include "tercet/text/tokenizer.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "text/regex.hpp"
#include "text/text_test_support.hpp"
#include "text/unicode.hpp"

namespace tercet::test {
namespace {

using Ids = std::vector<std::int32_t>;
using nlohmann::json;

// A small tokenizer.json: a b ab ▁ <u> and one merge.
json small_document() {
  return json::parse(R"({
    "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "▁": 3, "<u>": 4}, "merges": ["a b"]}})");
}

std::unique_ptr<Tokenizer> open_document(const json& document) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", document.dump());
  return open_tokenizer(folder.path());
}

std::string refusal(const json& document) {
  return message_of<DataError>([&] { open_document(document); });
}

TEST(TokenizerJson, MergesByRankThenFromTheLeft) {
  json document = small_document();
  document["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"aa", 2}, {"ab", 3}, {"aab", 4}};
  document["model"]["merges"] = {"a a", "a b", "aa b"};
  const auto tokenizer = open_document(document);
  EXPECT_EQ(encode(*tokenizer, "aaab"), (Ids{2, 3}));  // (aa)(ab): two pairs of rank 0 overlap, the left one wins
  EXPECT_EQ(encode(*tokenizer, "aab"), (Ids{4}));
}

TEST(TokenizerJson, FusesUnknownCharactersOnlyWhenAskedTo) {
  json document = small_document();
  document["model"]["unk_token"] = "<u>";
  EXPECT_EQ(encode(*open_document(document), "axya"), (Ids{0, 4, 4, 0}));
  document["model"]["fuse_unk"] = true;
  EXPECT_EQ(encode(*open_document(document), "axya"), (Ids{0, 4, 0}));
  document["model"].erase("unk_token");
  EXPECT_EQ(encode(*open_document(document), "axyb"), (Ids{2})) << "without an unknown token they vanish";
}

TEST(TokenizerJson, SpellsUnknownCharactersInBytesWhereTheVocabularyHasThem) {
  json document = small_document();
  document["model"]["byte_fallback"] = true;
  document["model"]["vocab"].update({{"<0xC3>", 5}, {"<0xA9>", 6}});
  document["decoder"] = {{"type", "ByteFallback"}};
  const auto tokenizer = open_document(document);
  EXPECT_EQ(encode(*tokenizer, "aéb"), (Ids{0, 5, 6, 1}));
  EXPECT_EQ(tokenizer->decode({0, 5, 6, 1}), "aéb");
  EXPECT_EQ(tokenizer->decode({5}), "\uFFFD");
}

TEST(TokenizerJson, PrefersTheLongestAddedTokenAndStripsWhereItSaysSo) {
  json document = small_document();
  document["added_tokens"] = json::parse(R"([
    {"id": 5, "content": "XX", "lstrip": true, "rstrip": true, "single_word": true, "normalized": false},
    {"id": 6, "content": "XXX", "normalized": false}])");
  const auto tokenizer = open_document(document);
  EXPECT_EQ(encode(*tokenizer, "a  XX  bXXX"), (Ids{0, 5, 1, 6}));
  EXPECT_EQ(encode(*tokenizer, "aXXb"), (Ids{2})) << "not a word of its own, and its characters are unknown";
  EXPECT_EQ(tokenizer->vocab_size(), 7);
}

TEST(TokenizerJson, ALongTextWithoutWordsTakesNoQuadraticTime) {
  json document = small_document();
  document["model"]["vocab"]["aa"] = 5;
  document["model"]["merges"].push_back("a a");
  const auto tokenizer = open_document(document);
  const Ids ids = encode(*tokenizer, std::string(2'000'000, 'a'));
  EXPECT_EQ(ids.size(), 1'000'000u);
}

TEST(TokenizerJson, WordsThatAreCutAtMarkersMergeAsTheWholeTextWould) {
  json document = small_document();
  document["model"]["unk_token"] = "<u>";
  document["model"]["vocab"].update({{"▁a", 5}, {"b▁", 6}, {"ab▁", 7}});
  document["model"]["merges"] = {"a b", "b ▁", "ab ▁", "▁ a"};
  const auto tokenizer = open_document(document);
  // "b▁" is an entry, so "ab▁a" is no place for a cut; "a▁" is none, so there is one in "a▁a".
  EXPECT_EQ(encode(*tokenizer, "ab▁a▁a"), (Ids{7, 0, 5}));
}

TEST(TokenizerJson, RefusesWhatItDoesNotKnowAndNamesIt) {
  const auto with = [](const std::string& pointer, const json& value) {
    json document = small_document();
    document[json::json_pointer(pointer)] = value;
    return document;
  };
  const auto expect = [](const std::string& error, const std::string& part) {
    EXPECT_NE(error.find(part), std::string::npos) << error;
    EXPECT_NE(error.find("tokenizer.json"), std::string::npos) << error;
  };
  expect(refusal(with("/model/type", "Unigram")), "Unigram");
  expect(refusal(with("/normalizer", {{"type", "Precompiled"}})), "Precompiled");
  expect(refusal(with("/pre_tokenizer", {{"type", "BertPreTokenizer"}})), "BertPreTokenizer");
  expect(refusal(with("/decoder", {{"type", "WordPiece"}})), "WordPiece");
  expect(refusal(with("/model/dropout", 0.1)), "dropout");
  expect(refusal(with("/model/end_of_word_suffix", "</w>")), "end_of_word_suffix");
  expect(refusal(with("/model/vocab/huge", 2000000000)), "model.vocab.huge");
  expect(refusal(with("/model/vocab/negative", -1)), "model.vocab.negative");
  expect(refusal(with("/model/vocab", json::array())), "model.vocab");
  expect(refusal(with("/model/merges", {"a"})), "model.merges[0]");
  expect(refusal(with("/model/merges", {"a c"})), "'c' is not in the vocabulary");
  expect(refusal(with("/pre_tokenizer", json::parse(R"({"type": "Split", "pattern": {"Regex": "("},
                                                        "behavior": "Isolated"})"))),
         "regular expression");
  json document = small_document();
  document.erase("model");
  expect(refusal(document), "key 'model' is missing");
}

TEST(TokenizerJson, RefusesAFileThatIsNotJson) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  EXPECT_NE(message_of<DataError>([&] { open_tokenizer(folder.path()); }).find("not valid JSON"), std::string::npos);
}

TEST(TokenizerJson, DeepNestingIsAnErrorAndNoStackOverflow) {
  json parts = {{"type", "NFC"}};
  for (int depth = 0; depth < 1000; ++depth) parts = {{"type", "Sequence"}, {"normalizers", {parts}}};
  json document = small_document();
  document["normalizer"] = parts;
  EXPECT_NE(refusal(document).find("nested deeper than"), std::string::npos);
}

TEST(TokenizerJson, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = open_document(small_document());
  const std::string error = message_of<DataError>([&] { encode(*tokenizer, "ab\xC3("); });
  EXPECT_NE(error.find("byte 2"), std::string::npos) << error;
}

TEST(OpenTokenizer, SaysWhatIsMissingInAFolderWithoutOne) {
  const ScratchFolder folder;
  const std::string error = message_of<DataError>([&] { open_tokenizer(folder.path()); });
  EXPECT_NE(error.find(folder.path().string()), std::string::npos) << error;
}

TEST(OpenTokenizer, RefusesADamagedSentencePieceModel) {
  for (const char* content : {"", "not a protocol buffer", "\x0a\xff\xff\xff\xff\x0f"}) {
    const ScratchFolder folder;
    folder.write("tokenizer.model", content);
    const std::string error = message_of<DataError>([&] { open_tokenizer(folder.path()); });
    EXPECT_NE(error.find("tokenizer.model"), std::string::npos) << error;
  }
}

TEST(OpenTokenizer, ReadsVocabJsonWithMergesTxt) {
  const ScratchFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4, "<|endoftext|>": 5})");
  folder.write("merges.txt", "#version: 0.2\na b\nĠ ab\n");
  const auto tokenizer = open_tokenizer(folder.path());
  EXPECT_EQ(encode(*tokenizer, "ab ab<|endoftext|>a"), (Ids{2, 4, 5, 0}));
  EXPECT_EQ(tokenizer->decode({2, 4, 5, 0}), "ab ab<|endoftext|>a");
  EXPECT_EQ(tokenizer->eos_token(), 5);
  folder.write("merges.txt", "#version: 0.2\nab\n");
  EXPECT_NE(message_of<DataError>([&] { open_tokenizer(folder.path()); }).find("line 2"), std::string::npos);
}

TEST(OpenTokenizer, FindsTheEndOfTextWhereTheFolderNamesIt) {
  const ScratchFolder folder;
  folder.write("tokenizer.json", small_document().dump());
  EXPECT_EQ(open_tokenizer(folder.path())->eos_token(), -1);
  folder.write("config.json", R"({"eos_token_id": [3, 1]})");
  EXPECT_EQ(open_tokenizer(folder.path())->eos_token(), 3);
  folder.write("tokenizer_config.json", R"({"eos_token": {"content": "ab"}})");
  EXPECT_EQ(open_tokenizer(folder.path())->eos_token(), 2);
}

TEST(ByteTokenizer, GivesBackEveryByteAndEndsInId256) {
  const ScratchFolder folder;
  write_byte_tokenizer(folder.path());
  const auto tokenizer = open_tokenizer(folder.path());
  const std::string text = std::string("a\0\n é😀", 10);
  const Ids ids = encode(*tokenizer, text);
  ASSERT_EQ(ids.size(), text.size());
  for (std::size_t i = 0; i < text.size(); ++i) EXPECT_EQ(ids[i], static_cast<unsigned char>(text[i]));
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(encode(*tokenizer, "<|endoftext|>"), (Ids{256}));
  EXPECT_EQ(tokenizer->eos_token(), 256);
  EXPECT_EQ(tokenizer->vocab_size(), 257);
}

TEST(CopyTokenizer, CopiesTheFilesThatAreThere) {
  const ScratchFolder folder;
  write_byte_tokenizer(folder.path() / "from");
  folder.write("from/chat_template.jinja", "{{ x }}");
  folder.write("from/model.safetensors", "weights");
  copy_tokenizer(folder.path() / "from", folder.path() / "to");
  EXPECT_EQ(open_tokenizer(folder.path() / "to")->hash(), open_tokenizer(folder.path() / "from")->hash());
  EXPECT_TRUE(fs::exists(folder.path() / "to/chat_template.jinja"));
  EXPECT_FALSE(fs::exists(folder.path() / "to/model.safetensors"));
}

TEST(Tokenizer, GivesTheSameIdsToThreadsAtOnce) {
  const auto tokenizer = open_document(small_document());
  const Ids expected = encode(*tokenizer, "abbaab▁ab");
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (int& count : wrong) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) count += encode(*tokenizer, "abbaab▁ab") == expected ? 0 : 1;
      });
    }
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Regex, SpellsOutClassesThatDifferBetweenTheEngines) {
  // U+180E is white space for PCRE2's \s, not for Oniguruma's.
  const text::Regex regex("[^\\s]+", "here");
  std::vector<std::string> found;
  const std::string subject = "a\u180Eb\u0085c";
  regex.for_each_match(subject, [&](text::Match m) { found.push_back(subject.substr(m.begin, m.end - m.begin)); });
  EXPECT_EQ(found, (std::vector<std::string>{"a\u180Eb", "c"}));
}

TEST(Regex, EndsARunawayMatchWithAnError) {
  const text::Regex regex("(a+)+$(?<=b)", "here");
  message_of<DataError>([&] { regex.for_each_match(std::string(64, 'a') + "c", [](text::Match) {}); });
}

TEST(Unicode, NormalizesAcrossTheEdgesOfRuns) {
  using text::NormalForm;
  EXPECT_EQ(text::normalize("cafe\u0301 x", NormalForm::kNfc), "caf\u00E9 x");
  EXPECT_EQ(text::normalize("\u1100\u1161\u11A8", NormalForm::kNfc), "\uAC01");
  EXPECT_EQ(text::normalize("\u212B\uFB01", NormalForm::kNfc), "\u00C5\uFB01");
  EXPECT_EQ(text::normalize("\u00E9\uFB01", NormalForm::kNfkd), "e\u0301fi");
}

TEST(Unicode, FindsTheFirstInvalidByte) {
  EXPECT_EQ(text::first_invalid_utf8("plain ascii and é"), std::string::npos);
  EXPECT_EQ(text::first_invalid_utf8("12345678\xED\xA0\x80"), 8u) << "a surrogate";
  EXPECT_EQ(text::first_invalid_utf8("ab\xC0\xAF"), 2u) << "an overlong form";
  EXPECT_EQ(text::first_invalid_utf8("abc\xE4\xBD"), 3u) << "cut at the end";
}

}  // namespace
}  // namespace tercet::test
