#include "tercet/text/dataset.hpp"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <numeric>
#include <set>

#include "tercet/base/hash.hpp"
#include "text/documents.hpp"
#include "text/sampling.hpp"
#include "text/text_files.hpp"
#include "text/text_test_support.hpp"

namespace tercet::test {
namespace {

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

std::string json_line(const std::string& text) {
  return "{\"text\": \"" + text + "\", \"id\": 1}\n";
}

// Texts, a byte tokenizer and a cache in one folder.
class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    write_byte_tokenizer(folder_.path() / "tokenizer");
    tokenizer_ = open_tokenizer(folder_.path() / "tokenizer");
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  Dataset prepare(const std::vector<TextSource>& sources, std::int64_t length = 8, double held_out = 0.0) {
    DatasetOptions options;
    options.sources = sources;
    options.sequence_length = length;
    options.held_out_fraction = held_out;
    options.cache = folder_.path() / "cache";
    return Dataset::prepare(*comm_, options, *tokenizer_);
  }

  std::string refusal(const std::vector<TextSource>& sources) {
    return message_of<DataError>([&] { prepare(sources); });
  }

  std::size_t files_in_cache() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_.path() / "cache"), {}));
  }

  ScratchFolder folder_;
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
  std::unique_ptr<Tokenizer> tokenizer_;
};

std::string sample_text(const Dataset& dataset, const Tokenizer& tokenizer, std::uint64_t index, std::size_t length) {
  std::vector<std::int64_t> ids(length);
  dataset.training_sample(index, ids);
  return tokenizer.decode(std::vector<std::int32_t>(ids.begin(), ids.end()));
}

TEST_F(DatasetTest, JoinsDocumentsByTheEndOfText) {
  folder_.write("a.jsonl", json_line("abc") + "\n" + json_line("defg"));
  const Dataset dataset = prepare({{path("a.jsonl")}}, 9);
  EXPECT_EQ(sample_text(dataset, *tokenizer_, 0, 9), "abc<|endoftext|>defg<|endoftext|>");
  EXPECT_EQ(dataset.sources()[0].documents, 2u);
  EXPECT_EQ(dataset.training_tokens(), 9u);
  EXPECT_EQ(dataset.sources()[0].sha256, sha256_file(path("a.jsonl")));
}

TEST_F(DatasetTest, ReadsCompressedTextAsThePlainOne) {
  const std::string text = "the same text in each of them";
  folder_.write("a.txt", text);
  folder_.write("b.txt.gz", gzip(text.substr(0, 10)) + gzip(text.substr(10)));
  folder_.write("c.txt.zst", zstd(text.substr(0, 10)) + zstd(text.substr(10)));
  folder_.write("d.jsonl.gz", gzip(json_line(text)));
  for (const char* name : {"a.txt", "b.txt.gz", "c.txt.zst", "d.jsonl.gz"}) {
    const Dataset dataset = prepare({{path(name)}}, static_cast<std::int64_t>(text.size()));
    EXPECT_EQ(sample_text(dataset, *tokenizer_, 0, text.size()), text) << name;
  }
}

TEST_F(DatasetTest, RefusesCompressedTextThatIsCutOrDamaged) {
  const std::string text(5000, 'x');
  folder_.write("cut.gz", gzip(text).substr(0, 20));
  folder_.write("cut.zst", zstd(text).substr(0, 12));
  folder_.write("bad.gz", "this is no gzip data");
  folder_.write("bad.zst", "this is no zstd data");
  for (const char* name : {"cut.gz", "cut.zst", "bad.gz", "bad.zst"}) {
    EXPECT_NE(refusal({{path(name)}}).find(path(name)), std::string::npos);
  }
}

TEST_F(DatasetTest, FindsTheFilesOfFoldersAndGlobs) {
  for (const char* name : {"t/b.txt", "t/a.txt", "t/sub/c.txt", "t/sub/deep/d.md", "t/.hidden/e.txt"}) {
    folder_.write(name, "x");
  }
  const auto names = [&](const std::string& source) {
    std::vector<std::string> found;
    for (const fs::path& file : text::list_text_files(path(source))) {
      found.push_back(fs::relative(file, folder_.path() / "t").string());
    }
    return found;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names("t"), (Names{".hidden/e.txt", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.md"}));
  EXPECT_EQ(names("t/*.txt"), (Names{"a.txt", "b.txt"}));
  EXPECT_EQ(names("t/**/*.txt"), (Names{"a.txt", "b.txt", "sub/c.txt"}));
  EXPECT_EQ(names("t/s?b/**"), (Names{"sub/c.txt", "sub/deep/d.md"}));
}

TEST_F(DatasetTest, AMissingOrEmptySourceIsAnErrorThatNamesIt) {
  folder_.write("empty.txt", "");
  fs::create_directories(path("nothing"));
  folder_.write("blank.jsonl", "\n\n");
  for (const char* name : {"absent.txt", "empty.txt", "nothing", "*.nope", "blank.jsonl"}) {
    EXPECT_NE(refusal({{path(name)}}).find(path(name)), std::string::npos) << name;
  }
}

TEST_F(DatasetTest, TextThatIsNotUtf8IsAnErrorWithItsOffset) {
  folder_.write("latin1.txt", "caf\xE9 au lait");
  const std::string error = refusal({{path("latin1.txt")}});
  EXPECT_NE(error.find("latin1.txt"), std::string::npos) << error;
  EXPECT_NE(error.find("offset 3"), std::string::npos) << error;
}

TEST_F(DatasetTest, AJsonLineWithoutTheFieldIsAnErrorWithItsNumber) {
  folder_.write("a.jsonl", json_line("fine") + "{\"other\": 1}\n");
  EXPECT_NE(refusal({{path("a.jsonl")}}).find("a.jsonl:2"), std::string::npos);
  folder_.write("b.jsonl", json_line("fine") + "{\"text\": 1}\n");
  EXPECT_NE(refusal({{path("b.jsonl")}}).find("'text' of"), std::string::npos);
  folder_.write("c.jsonl", "{\"text\": \n");
  EXPECT_NE(refusal({{path("c.jsonl")}}).find("c.jsonl:1"), std::string::npos);
}

TEST_F(DatasetTest, ASourceSmallerThanOneSequenceIsAnError) {
  folder_.write("small.txt", "abc");
  const std::string error = refusal({{path("small.txt")}});
  EXPECT_NE(error.find("4 training tokens"), std::string::npos) << error;
}

TEST_F(DatasetTest, AFailedPreparationLeavesNoFilesInTheCache) {
  folder_.write("a.jsonl", json_line("fine") + "nonsense\n");
  refusal({{path("a.jsonl")}});
  EXPECT_EQ(files_in_cache(), 0u);
}

TEST_F(DatasetTest, ReusesTheCacheAndMakesADamagedFileAgain) {
  folder_.write("a.txt", std::string(100, 'a'));
  prepare({{path("a.txt")}});
  ASSERT_EQ(files_in_cache(), 2u);
  fs::path training;
  for (const auto& entry : fs::directory_iterator(path("cache"))) {
    if (entry.path().string().ends_with(".training.tokens")) training = entry.path();
  }
  const auto made = fs::last_write_time(training);
  prepare({{path("a.txt")}});
  EXPECT_EQ(fs::last_write_time(training), made);
  std::fstream(training, std::ios::in | std::ios::out | std::ios::binary).seekp(300).put('b');
  const Dataset dataset = prepare({{path("a.txt")}}, 100);
  EXPECT_EQ(sample_text(dataset, *tokenizer_, 0, 100), std::string(100, 'a'));
  folder_.write("a.txt", std::string(100, 'c'));
  EXPECT_EQ(sample_text(prepare({{path("a.txt")}}, 100), *tokenizer_, 0, 100), std::string(100, 'c'));
}

TEST_F(DatasetTest, RefusesATokenFileThatIsNotOne) {
  folder_.write("short", "TERCETID");
  folder_.write("other", std::string(400, 'x'));
  EXPECT_NE(message_of<DataError>([&] { TokenFile{path("short")}; }).find("only 8 bytes"), std::string::npos);
  EXPECT_NE(message_of<DataError>([&] { TokenFile{path("other")}; }).find("first bytes"), std::string::npos);
}

TEST_F(DatasetTest, HoldsDocumentsOutByTheirHash) {
  std::string lines;
  for (int i = 0; i < 400; ++i) lines += json_line("document number " + std::to_string(i));
  folder_.write("a.jsonl", lines);
  const Dataset dataset = prepare({{path("a.jsonl")}}, 8, 0.25);
  const SourceRecord& record = dataset.sources()[0];
  EXPECT_EQ(record.documents, 400u);
  EXPECT_NEAR(static_cast<double>(record.held_out_documents), 100.0, 35.0);  // 4 standard deviations of sqrt(75)
  EXPECT_EQ(dataset.held_out_tokens(), record.held_out_tokens);
  EXPECT_EQ(dataset.training_tokens() + dataset.held_out_tokens(), record.tokens);
  EXPECT_EQ(dataset.held_out_windows(), record.held_out_tokens / 8);
  std::vector<std::int64_t> ids(8);
  message_of<DataError>([&] { dataset.held_out_window(dataset.held_out_windows(), ids); });
}

TEST_F(DatasetTest, AnEpochDrawsEachSequenceOnceAndTheNextInAnotherOrder) {
  std::string text;
  for (char c = 'a'; c <= 'z'; ++c) text += std::string(4, c);
  folder_.write("a.txt", text);
  const Dataset dataset = prepare({{path("a.txt")}}, 4);
  std::vector<std::string> epochs[2];
  for (std::uint64_t i = 0; i < 52; ++i) epochs[i / 26].push_back(sample_text(dataset, *tokenizer_, i, 4));
  EXPECT_NE(epochs[0], epochs[1]);
  for (const auto& epoch : epochs) EXPECT_EQ(std::set<std::string>(epoch.begin(), epoch.end()).size(), 26u);
  EXPECT_EQ(sample_text(prepare({{path("a.txt")}}, 4), *tokenizer_, 33, 4), epochs[1][7]);
}

TEST_F(DatasetTest, DrawsSourcesInProportionToTheirWeights) {
  folder_.write("a.txt", std::string(64, 'a'));
  folder_.write("b.txt", std::string(64, 'b'));
  const Dataset dataset = prepare({{path("a.txt"), 3.0}, {path("b.txt"), 1.0}});
  int of_a = 0;
  for (std::uint64_t i = 0; i < 100; ++i) of_a += sample_text(dataset, *tokenizer_, i, 8)[0] == 'a' ? 1 : 0;
  EXPECT_EQ(of_a, 75);
}

TEST_F(DatasetTest, RefusesOptionsThatMakeNoSense) {
  folder_.write("a.txt", std::string(64, 'a'));
  message_of<ConfigError>([&] { prepare({}); });
  message_of<ConfigError>([&] { prepare({{path("a.txt"), 0.0}}); });
  message_of<ConfigError>([&] { prepare({{path("a.txt")}}, 0); });
  message_of<ConfigError>([&] { prepare({{path("a.txt")}}, 8, 1.0); });
}

TEST(Documents, EndAtBlankLinesOnceTheyAreLongEnough) {
  const std::string part = std::string(3000, 'x') + "\n\n";
  const std::string text = part + part + " \r\n" + part + "rest";
  const auto documents = text::plain_documents(text);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0], part + part + " \r\n") << "the blank lines go with the document before them";
  EXPECT_EQ(documents[1], part + "rest");
  EXPECT_EQ(text::plain_documents("short\n\ntext").size(), 1u);
}

TEST(Sampling, CountsDrawsOfASourceWithoutGaps) {
  const auto shares = text::shares_of_weights({0.2, 1.0, 0.5});
  std::vector<std::uint64_t> next(3, 0);
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    const text::Draw draw = text::draw_of(i, shares);
    ASSERT_EQ(draw.number, next[draw.source]++);
  }
  EXPECT_NEAR(static_cast<double>(next[0]), 10'000 * 0.2 / 1.7, 2.0);
  EXPECT_NEAR(static_cast<double>(next[1]), 10'000 * 1.0 / 1.7, 2.0);
}

TEST(Shards, CoverAllItemsWithSizesThatDifferByAtMostOne) {
  std::uint64_t next = 0;
  for (std::uint64_t shard = 0; shard < 7; ++shard) {
    const ShardRange range = shard_range(24, 7, shard);
    EXPECT_EQ(range.begin, next);
    EXPECT_TRUE(range.end - range.begin == 3 || range.end - range.begin == 4);
    next = range.end;
  }
  EXPECT_EQ(next, 24u);
  EXPECT_EQ(shards_of_rank(8, 2, 3).end, 8u);
  EXPECT_EQ(shards_of_rank(2, 2, 3).end, shards_of_rank(2, 2, 3).begin);
}

TEST_F(DatasetTest, TokenizesAFileAsOneTextWithoutEndOfText) {
  folder_.write("a.txt", std::string(5000, 'x') + "\n\nend");
  EXPECT_EQ(tokenize_file(path("a.txt"), *tokenizer_).size(), 5005u);
  folder_.write("bad.txt", "\xFF");
  message_of<DataError>([&] { tokenize_file(path("bad.txt"), *tokenizer_); });
  message_of<DataError>([&] { tokenize_file(path("absent.txt"), *tokenizer_); });
}

}  // namespace
}  // namespace tercet::test
