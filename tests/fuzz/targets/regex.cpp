// A regular expression as a tokenizer brings it, and a text to run it on.
#include "text/regex.hpp"
#include "target.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet::fuzz {
namespace {

const std::string kText = "It's   12345 words, naïve\tones…\r\n\n   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab ";

std::vector<std::string> seeds() {
  const std::vector<std::string> patterns = {
      R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      R"((\w+\d*)*[[:alpha:]]|\u00e9|^$|(?<=a)b|(a+)+$)"};
  std::vector<std::string> seeds;
  for (const std::string& pattern : patterns) seeds.push_back(join_parts({pattern, kText}));
  return seeds;
}

void read(std::string_view input) {
  const auto parts = parts_of(input, 2);
  const std::string pattern = lossy_utf8(parts[0]), text = lossy_utf8(parts[1]);  // both come out of checked UTF-8
  const text::Regex regex(pattern, "input");
  std::size_t matched = 0;
  regex.for_each_match(text, [&](text::Match match) { matched += match.end - match.begin; });
  (void)text::Regex(text::escape_regex(pattern), "literal");
}

const Registration kTarget({"regex", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
