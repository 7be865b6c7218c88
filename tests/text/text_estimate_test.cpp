#include "tercet/text/text_estimate.hpp"

#include <gtest/gtest.h>

#include "tercet/base/error.hpp"
#include "text_test_support.hpp"

namespace tercet {
namespace {

using test::ScratchFolder;

// The byte-level tokenizer without merges gives one token for each byte.
std::unique_ptr<Tokenizer> bytes_tokenizer(const ScratchFolder& folder) {
  write_byte_tokenizer(folder / "tokenizer");
  return open_tokenizer(folder / "tokenizer");
}

TEST(EstimateText, CountsFilesBytesAndAboutTheTokens) {
  const ScratchFolder folder;
  const auto tokenizer = bytes_tokenizer(folder);
  folder.write("text/a.txt", std::string(100000, 'a'));
  folder.write("text/b.txt", std::string(50000, 'b'));
  const TextEstimate estimate = estimate_text({(folder / "text").string()}, *tokenizer);
  EXPECT_EQ(estimate.files, 2U);
  EXPECT_EQ(estimate.bytes, 150000U);
  EXPECT_EQ(estimate.tokens, 150000U);
}

TEST(EstimateText, NeverCutsACharacterInTwo) {
  const ScratchFolder folder;
  const auto tokenizer = bytes_tokenizer(folder);
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "\xE2\x82\xAC";  // three bytes each
  folder.write("euro.txt", text);
  EXPECT_EQ(estimate_text({(folder / "euro.txt").string()}, *tokenizer).tokens, 120000U);
}

TEST(EstimateText, LeavesDamagedTextToTheJobAndAssumes) {
  const ScratchFolder folder;
  const auto tokenizer = bytes_tokenizer(folder);
  folder.write("bad.txt", std::string(1000, '\xFF'));
  EXPECT_EQ(estimate_text({(folder / "bad.txt").string()}, *tokenizer).tokens, 300U);
}

TEST(EstimateText, RefusesASourceWithoutFiles) {
  const ScratchFolder folder;
  const auto tokenizer = bytes_tokenizer(folder);
  EXPECT_THROW(estimate_text({(folder / "none/*.txt").string()}, *tokenizer), DataError);
}

}  // namespace
}  // namespace tercet
