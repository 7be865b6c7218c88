// The token files, and the errors, are the same for any number of ranks.
#include <gtest/gtest.h>

#include "support/shared_scratch_folder.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/text/dataset.hpp"
#include "text/text_test_support.hpp"

namespace tercet::test {
namespace {

// About 5 MiB, so that several blocks are dealt: text whose words depend on their place.
std::string long_text() {
  std::string text;
  for (std::uint64_t i = 0; text.size() < 5'000'000; ++i) {
    text += std::to_string(i * i % 7919) + (i % 11 == 0 ? "\n\n" : " ");
  }
  return text;
}

DatasetOptions options_in(const fs::path& folder) {
  DatasetOptions options;
  options.sources = {{(folder / "texts").string()}};
  options.cache = folder / "cache";
  options.held_out_fraction = 0.1;
  return options;
}

std::string hashes_of(const fs::path& cache) {
  std::set<std::string> hashes;
  for (const auto& entry : fs::directory_iterator(cache)) hashes.insert(sha256_file(entry.path()));
  std::string joined;
  for (const std::string& hash : hashes) joined += hash;
  return joined;
}

TEST(DatasetOnRanks, IsByteForByteThatOfOneRank) {
  SharedScratchFolder folder;
  folder.write("texts/a.txt", long_text());
  folder.write("texts/b.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  if (world().is_root()) write_byte_tokenizer(folder.path() / "tokenizer");
  world().barrier();
  const auto tokenizer = open_tokenizer(folder.path() / "tokenizer");
  const DatasetOptions options = options_in(folder.path());
  const Dataset together = Dataset::prepare(world(), options, *tokenizer);
  DatasetOptions alone_options = options;
  alone_options.cache = folder.path() / ("alone-" + std::to_string(world().rank()));
  const auto single = make_self_communicator();
  const Dataset alone = Dataset::prepare(*single, alone_options, *tokenizer);
  EXPECT_EQ(hashes_of(options.cache), hashes_of(alone_options.cache));
  EXPECT_EQ(together.training_tokens(), alone.training_tokens());
  EXPECT_EQ(together.sources()[0].held_out_documents, alone.sources()[0].held_out_documents);
  std::vector<std::int64_t> mine(256), theirs(256);
  together.training_sample(12345, mine);
  alone.training_sample(12345, theirs);
  EXPECT_EQ(mine, theirs);
}

TEST(DatasetOnRanks, AnErrorOfOneRankReachesAll) {
  SharedScratchFolder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"text\": \"" + std::string(100'000, 'x') + "\"}\n";
  folder.write("texts/a.jsonl", lines + "nonsense\n");  // in the last block
  if (world().is_root()) write_byte_tokenizer(folder.path() / "tokenizer");
  world().barrier();
  const auto tokenizer = open_tokenizer(folder.path() / "tokenizer");
  const std::string error =
      message_of<DataError>([&] { Dataset::prepare(world(), options_in(folder.path()), *tokenizer); });
  EXPECT_NE(error.find("a.jsonl:41"), std::string::npos) << error;
  world().barrier();
  EXPECT_TRUE(fs::is_empty(folder.path() / "cache"));
}

}  // namespace
}  // namespace tercet::test
