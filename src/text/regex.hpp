// Regular expressions of tokenizer files, by PCRE2 with UTF and JIT. The files are written for Oniguruma (Ruby syntax),
// whose \s, \w and \d differ from PCRE2's; they are spelled out before compiling, and what cannot be is refused.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace tercet::text {

struct Match {
  std::size_t begin = 0, end = 0;
};

class Regex {
 public:
  // `where` names the file in errors. Throws DataError for a pattern that cannot be used.
  Regex(const std::string& pattern, const std::string& where);

  // Calls `action` for each match in order, as Oniguruma's find_iter does (an empty match directly after the previous
  // one is skipped). `text` is valid UTF-8. Throws DataError when a match takes too many steps. Thread-safe.
  void for_each_match(std::string_view text, const std::function<void(Match)>& action) const;

 private:
  std::string pattern_, where_;
  std::shared_ptr<pcre2_real_code_8> code_;
};

std::string escape_regex(std::string_view literal);

// Exposed for tests: the pattern as PCRE2 gets it.
std::string translate_regex(const std::string& pattern, const std::string& where);

}  // namespace tercet::text
