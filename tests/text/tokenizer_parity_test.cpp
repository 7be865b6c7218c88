// Compares ids with those that other programs wrote: llama.cpp's vectors, and the Python packages by
// tests/parity/tokenizer_parity.py.
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <map>
#include <sstream>

#include "tercet/text/tokenizer.hpp"
#include "text/text_test_support.hpp"

namespace tercet::test {
namespace {

std::vector<std::string> split_cases(const std::string& text) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> cases;
  std::size_t begin = 0;
  for (std::size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, begin)) {
    cases.push_back(text.substr(begin, at - begin));
    begin = at + separator.size();
  }
  return cases;
}

void compare_with_vectors(const std::string& name, const fs::path& tokenizer_folder) {
  const fs::path data = shared_data();
  if (data.empty()) GTEST_SKIP() << "the shared data is not here";
  const auto tokenizer = open_tokenizer(data / tokenizer_folder);
  const fs::path file = data / "gguf_vocab" / ("ggml-vocab-" + name + ".gguf");
  const std::vector<std::string> cases = split_cases(read_file(file.string() + ".inp"));
  std::istringstream lines(read_file(file.string() + ".out"));
  ASSERT_EQ(cases.size(), 46u);
  for (const std::string& text : cases) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream numbers(line);
    const std::vector<std::int32_t> expected{std::istream_iterator<std::int32_t>(numbers), {}};
    EXPECT_EQ(encode(*tokenizer, text), expected) << "text: '" << text << "'";
  }
}

TEST(TokenizerVectors, TokenizerJsonOfGpt2GivesTheIdsOfLlamaCpp) {
  compare_with_vectors("gpt-2", "tokenizers/gpt2");
}

TEST(TokenizerVectors, SentencePieceOfLlama2GivesTheIdsOfLlamaCpp) {
  compare_with_vectors("llama-spm", "tokenizers/llama2");
}

std::vector<std::int32_t> read_ids(const fs::path& path) {
  const std::string bytes = read_file(path);
  std::vector<std::int32_t> ids(bytes.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(std::int32_t));
  return ids;
}

// One line of the manifest: text, tokenizer folder, ids (int32), decoded text; separated by tabs.
struct ParityCase {
  fs::path text, tokenizer, ids, decoded;
};

std::vector<ParityCase> read_manifest(const fs::path& folder) {
  std::istringstream lines(read_file(folder / "manifest.tsv"));
  std::vector<ParityCase> cases;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string field[4];
    for (std::string& part : field) std::getline(fields, part, '\t');
    cases.push_back({field[0], field[1], field[2], field[3]});
  }
  return cases;
}

void expect_same_ids(const ParityCase& item, const std::vector<std::int32_t>& ids) {
  const std::vector<std::int32_t> expected = read_ids(item.ids);
  const auto [mine, theirs] = std::mismatch(ids.begin(), ids.end(), expected.begin(), expected.end());
  EXPECT_TRUE(mine == ids.end() && theirs == expected.end())
      << item.tokenizer << " on " << item.text << ": " << ids.size() << " ids, expected " << expected.size()
      << ", first difference at " << mine - ids.begin();
}

TEST(TokenizerParity, IdsAndTextEqualThoseOfThePythonPackages) {
  const char* folder = std::getenv("TERCET_PARITY_DIR");
  if (folder == nullptr) GTEST_SKIP() << "run by tests/parity/tokenizer_parity.py, which sets TERCET_PARITY_DIR";
  std::map<fs::path, std::unique_ptr<Tokenizer>> tokenizers;
  const std::vector<ParityCase> cases = read_manifest(folder);
  ASSERT_FALSE(cases.empty());
  for (const ParityCase& item : cases) {
    auto& tokenizer = tokenizers[item.tokenizer];
    if (tokenizer == nullptr) tokenizer = open_tokenizer(item.tokenizer);
    const std::vector<std::int32_t> ids = encode(*tokenizer, read_file(item.text));
    expect_same_ids(item, ids);
    if (!item.decoded.empty()) {
      EXPECT_TRUE(tokenizer->decode(ids) == read_file(item.decoded)) << "decoding " << item.tokenizer << item.text;
    }
  }
  std::cout << cases.size() << " pairs of text and tokenizer compared\n";
}

// No figure is asserted: it depends on the machine. Printed so that a change of speed is seen.
TEST(TokenizerSpeed, IsPrintedInMegabytesPerSecond) {
  const fs::path data = shared_data();
  if (data.empty()) GTEST_SKIP() << "the shared data is not here";
  const std::string text = read_file(data / "text/tinystories/train.txt");
  for (const char* name : {"tokenizers/gpt2", "tokenizers/minimind", "tokenizers/llama2", "models/ref_llama_3M/hf",
                           "models/stories260K/hf", "models/babyllama_tok105/hf"}) {
    const auto tokenizer = open_tokenizer(data / name);
    std::vector<std::int32_t> ids;
    const std::clock_t start = std::clock();  // of the processor: a busy machine must not look like slow code
    tokenizer->encode(text, ids);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::cout << name << ": " << static_cast<double>(text.size()) / 1e6 / seconds << " MB/s, " << ids.size()
              << " ids\n";
    EXPECT_FALSE(ids.empty());
  }
}

}  // namespace
}  // namespace tercet::test
