// vocab.json, merges.txt, tokenizer_config.json and added_tokens.json.
#include "target.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  const std::string vocabulary = R"({"a": 0, "n": 1, "an": 2, "Ġ": 3, "Ġan": 4, "<|endoftext|>": 5, "d": 6})";
  const std::string merges = "#version: 0.2\na n\nĠ an\r\n";
  return {
      join_parts({vocabulary, merges, R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})", "{}"}),
      join_parts({vocabulary, merges,
                  R"({"tokenizer_class": "Qwen2TokenizerFast", "added_tokens_decoder": {"7": {"content": "<x>",)"
                  R"( "special": true, "lstrip": false, "rstrip": true, "single_word": true, "normalized": false}}})",
                  R"({"<y>": 8})"})};
}

void read(std::string_view input) {
  const auto parts = parts_of(input, 4);
  scratch_file("gpt2/vocab.json", parts[0]);
  scratch_file("gpt2/merges.txt", parts[1]);
  scratch_file("gpt2/tokenizer_config.json", parts[2].empty() ? "{}" : parts[2]);
  scratch_file("gpt2/added_tokens.json", parts[3].empty() ? "{}" : parts[3]);
  const auto tokenizer = open_tokenizer(scratch() / "gpt2");
  std::vector<std::int32_t> ids;
  tokenizer->encode("and an <x> annual <|endoftext|> end", ids);
  for (std::int32_t id = -1; id < 10; ++id) ids.push_back(id);
  (void)tokenizer->decode(ids);
}

const Registration kTarget({"gpt2_files", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
