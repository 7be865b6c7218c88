// Texts and tokenizers made to do harm: small files that unpack to large ones, patterns that never end, endless growth.
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <nlohmann/json.hpp>

#include "tercet/text/dataset.hpp"
#include "text/decompress.hpp"
#include "text/normalization_rules.hpp"
#include "text/regex.hpp"
#include "text/text_files.hpp"
#include "text/token_file.hpp"
#include "text_test_support.hpp"

namespace tercet {
namespace {

using nlohmann::json;
using test::message_of;

std::string gzip_of_zeros(std::size_t megabytes) {
  const std::string zeros(std::size_t{1} << 20, '\0');
  std::string out(megabytes * 2048 + 4096, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (std::size_t i = 0; i < megabytes; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
    stream.avail_in = static_cast<uInt>(zeros.size());
    deflate(&stream, i + 1 == megabytes ? Z_FINISH : Z_NO_FLUSH);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd_of_zeros(std::size_t megabytes) {
  const std::string zeros(megabytes << 20, '\0');
  std::string out(ZSTD_compressBound(zeros.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), zeros.data(), zeros.size(), 3));
  return out;
}

TEST(CompressedText, ThatUnpacksToAThousandTimesItsSizeIsRefused) {
  EXPECT_EQ(text::decompress_gzip(gzip_of_zeros(20), "a.gz").size(), std::size_t{20} << 20)
      << "small enough to be harmless";
  const std::string gz = message_of<DataError>([] { text::decompress_gzip(gzip_of_zeros(80), "bomb.gz"); });
  EXPECT_MENTIONS(gz, "bomb.gz");
  EXPECT_MENTIONS(gz, "larger than 67108864");
  EXPECT_MENTIONS(message_of<DataError>([] { text::decompress_zstd(zstd_of_zeros(80), "bomb.zst"); }), "bomb.zst");
}

TEST(RegularExpression, ThatBacktracksWithoutEndIsStopped) {
  const text::Regex regex("(a+)+$|(a|aa)+c", "tokenizer.json");
  const std::string text = std::string(40, 'a') + "b";
  std::string many;
  for (int i = 0; i < 200; ++i) many += text;
  EXPECT_MENTIONS(message_of<DataError>([&] { regex.for_each_match(many, [](text::Match) {}); }), "matching failed");
}

TEST(RegularExpression, OfRealTokenizersMayTakeLongRunsOfSpace) {
  const text::Regex regex(R"(\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+)", "tokenizer.json");
  std::size_t matched = 0;
  const std::string text = "a" + std::string(200'000, ' ') + "b";
  regex.for_each_match(text, [&](text::Match match) { matched += match.end - match.begin; });
  EXPECT_EQ(matched, text.size());
}

class HostileTokenizer : public testing::Test {
 protected:
  std::string refusal(const json& changes, const std::string& text = "aaaa bbbb") {
    json document = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}}}};
    document.update(changes);
    return refusal_of_text(document.dump(), text);
  }
  std::string refusal_of_text(const std::string& document, const std::string& text = "a") {
    scratch_.write("tokenizer.json", document);
    return message_of<DataError>([&] { (void)test::encode(*open_tokenizer(scratch_.path()), text); });
  }
  test::ScratchFolder scratch_;
};

TEST_F(HostileTokenizer, NestedWithoutEndIsRefused) {
  EXPECT_MENTIONS(refusal_of_text("{\"model\":" + std::string(1'000'000, '[')), "nested deeper");
}

TEST_F(HostileTokenizer, WhoseReplacementsDoubleTheTextAgainAndAgainIsRefused) {
  json steps = json::array();
  for (int i = 0; i < 60; ++i) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}});
  }
  EXPECT_MENTIONS(refusal({{"normalizer", {{"type", "Sequence"}, {"normalizers", steps}}}}, std::string(1000, 'a')),
                  "too long");
}

TEST_F(HostileTokenizer, WithEndlessStepsIsRefused) {
  json steps = json::array();
  for (int i = 0; i < 100'000; ++i) steps.push_back({{"type", "Digits"}});
  EXPECT_MENTIONS(refusal({{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}}}), "more than 64 steps");
  for (json& step : steps) step = {{"type", "Lowercase"}};
  EXPECT_MENTIONS(refusal({{"normalizer", {{"type", "Sequence"}, {"normalizers", steps}}}}), "more than 64 steps");
  for (json& step : steps) step = {{"type", "Fuse"}};
  EXPECT_MENTIONS(refusal({{"decoder", {{"type", "Sequence"}, {"decoders", steps}}}}), "more than 64 steps");
}

TEST_F(HostileTokenizer, WithAnAddedTokenAsLongAsABookIsRefused) {
  EXPECT_MENTIONS(refusal({{"added_tokens", {{{"id", 1}, {"content", std::string(5000, 'a')}}}}}), "longer than 1024");
}

TEST_F(HostileTokenizer, WithMergesThatAreNotUtf8IsRefused) {
  scratch_.write("vocab.json", R"({"a": 0})");
  scratch_.write("merges.txt", "a \xff\n");
  EXPECT_MENTIONS(message_of<DataError>([&] { open_tokenizer(scratch_.path()); }), "merges.txt");
}

// The bytes of a tokenizer.model that holds nothing but normalization rules.
std::string model_with_rules(const std::vector<std::uint32_t>& units, const std::string& replacements) {
  const auto bytes = static_cast<std::uint32_t>(units.size() * sizeof units[0]);
  std::string table(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  table.append(reinterpret_cast<const char*>(units.data()), bytes);
  table += replacements;
  const auto field = [](char number, const std::string& content) {
    std::string text(1, static_cast<char>(number << 3 | 2));
    std::size_t size = content.size();
    for (; size >= 0x80; size >>= 7) text += static_cast<char>(size | 0x80);
    return text + static_cast<char>(size) + content;
  };
  return field(3, field(2, table));
}

// One rule, for "a", whose replacement is at `value`; after it the array goes on at `next` xor byte.
std::vector<std::uint32_t> one_rule(std::uint32_t next, std::uint32_t value) {
  std::vector<std::uint32_t> units(0x300, 1u << 31);
  units[0] = 0x100u << 10;
  units[0x100 ^ 'a'] = (0x100u ^ 'a' ^ next) << 10 | 1u << 8 | 'a';
  if (next < units.size() && next != 0x100) units[next] = 1u << 31 | value;
  return units;
}

TEST(SentencePieceRules, AreGivenToTheLibraryOnlyIfTheyStayInTheirTable) {
  const std::string replacements("an", 3);
  const auto problem = [&](const std::vector<std::uint32_t>& units, const std::string& texts) {
    return text::problem_with_model(model_with_rules(units, texts));
  };
  EXPECT_EQ(problem(one_rule(0x200, 0), replacements), "");
  EXPECT_MENTIONS(problem(one_rule(0x200, 3), replacements), "lead out");
  EXPECT_MENTIONS(problem(one_rule(0x30000, 0), replacements), "lead out");
  EXPECT_MENTIONS(problem(one_rule(0x100, 0), replacements), "lead out")
      << "a circle: more rules at one place than there is room for";
  EXPECT_MENTIONS(problem(one_rule(0x200, 0), "an"), "lead out") << "a replacement without an end";
  EXPECT_MENTIONS(problem({}, replacements), "lead out");
  EXPECT_MENTIONS(text::problem_with_model(model_with_rules(one_rule(0x200, 0), replacements) + "\x0b"),
                  "unknown kind");
}

TEST(SentencePiecePieces, WithAZeroByteAreRefusedBeforeTheLibraryEndsTheProgram) {
  const auto model_with = [](const std::string& piece) {
    const std::string message = "\x0a" + std::string(1, static_cast<char>(piece.size())) + piece;
    return "\x0a" + std::string(1, static_cast<char>(message.size())) + message;
  };
  EXPECT_EQ(text::problem_with_model(model_with("a piece")), "");
  EXPECT_MENTIONS(text::problem_with_model(model_with(std::string("a\0b", 3))), "zero byte");
}

TEST(SourcePattern, WithManyStarsIsMatchedInNoTime) {
  const test::ScratchFolder folder;
  folder.write(std::string(120, 'a') + ".txt", "text");
  std::string stars;
  for (int i = 0; i < 40; ++i) stars += "*a";
  EXPECT_THROW(text::list_text_files((folder.path() / (stars + "*b")).string()), DataError);
  EXPECT_EQ(text::list_text_files((folder.path() / (stars + "*.txt")).string()).size(), 1u);
  EXPECT_EQ(text::list_text_files((folder.path() / "**/**/**/a*.t?t").string()).size(), 1u);
}

TEST(TokenCache, WithIdsThatTheTokenizerDoesNotHaveIsMadeAgain) {
  const test::ScratchFolder folder;
  write_byte_tokenizer(folder.path() / "model");
  const auto tokenizer = open_tokenizer(folder.path() / "model");
  DatasetOptions options;
  options.sources = {{folder.write("a.txt", std::string(4000, 'x') + "\n").string(), 1.0, "text"}};
  options.held_out_fraction = 0;
  options.cache = folder.path() / "tokens";
  options.sequence_length = 8;
  const auto comm = make_self_communicator();
  std::vector<std::int64_t> sound(8), again(8);
  Dataset::prepare(*comm, options, *tokenizer).training_sample(0, sound);
  for (const auto& file : text::list_text_files(options.cache.string())) {
    if (file.string().find(".training.") == std::string::npos) continue;
    const std::string key = TokenFile(file).key();
    text::TokenFileWriter writer(options.cache / "staged", 2);
    writer.append(text::pack_ids(std::vector<std::int32_t>(4001, 60'000), 2));
    writer.publish(file, key, 1);
    EXPECT_TRUE(TokenFile(file).intact());
  }
  Dataset::prepare(*comm, options, *tokenizer).training_sample(0, again);
  EXPECT_EQ(again, sound);
}

}  // namespace
}  // namespace tercet
