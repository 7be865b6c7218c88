// tokenizer.json and tokenizer_config.json, and then encoding and decoding with what they describe.
#include "target.hpp"
#include "tercet/text/special_tokens.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::fuzz {
namespace {

const std::string kText = "Zwei  Wörter, 'twas 42 times <|x|>\n\n   and ▁ more…";

std::string llama_like() {
  return R"({"added_tokens": [{"id": 9, "content": "<|x|>", "special": true, "lstrip": true, "single_word": false},
    {"id": 10, "content": "Wort", "normalized": true, "rstrip": true}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, {"type": "NFKC"}, {"type": "Lowercase"}]},
  "pre_tokenizer": null,
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {"type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>",
    "vocab": {"<unk>": 0, "<0x0A>": 1, "▁": 2, "a": 3, "n": 4, "d": 5, "an": 6, "▁an": 7, "▁and": 8},
    "merges": ["a n", ["▁", "an"], "▁an d"]}})";
}

std::string gpt_like() {
  return R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"},
     "behavior": "MergedWithNext", "invert": false}, {"type": "Digits", "individual_digits": true},
    {"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}]},
  "decoder": {"type": "ByteLevel"},
  "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "an", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"an": {"id": "an", "ids": [2], "tokens": ["an"]}}}]},
  "model": {"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "n": 1, "an": 2, "Ġ": 3, "Ġan": 4}, "merges": ["a n"]}})";
}

std::vector<std::string> seeds() {
  write_byte_tokenizer(scratch() / "bytes");
  return {join_parts(
              {content_of(scratch() / "bytes/tokenizer.json"), content_of(scratch() / "bytes/tokenizer_config.json")}),
          join_parts({llama_like(), R"({"eos_token": {"content": "<|x|>"}})"}),
          join_parts({gpt_like(), R"({"eos_token": "an", "add_prefix_space": true})"})};
}

void read(std::string_view input) {
  const auto parts = parts_of(input, 2);
  scratch_file("tokenizer/tokenizer.json", parts[0]);
  scratch_file("tokenizer/tokenizer_config.json", parts[1].empty() ? "{}" : parts[1]);
  const auto tokenizer = open_tokenizer(scratch() / "tokenizer");
  std::vector<std::int32_t> ids;
  tokenizer->encode(kText, ids);
  for (std::int32_t id = -1; id < 12; ++id) ids.push_back(id);
  (void)tokenizer->decode(ids);
  (void)read_special_tokens(scratch() / "tokenizer", *tokenizer);
}

const Registration kTarget({"tokenizer_json", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
