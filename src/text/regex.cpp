#include "text/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cctype>
#include <cstdint>

#include "tercet/base/error.hpp"
#include "text/limits.hpp"

namespace tercet::text {
namespace {

[[noreturn]] void refuse(const std::string& pattern, const std::string& where, const std::string& reason) {
  throw DataError("cannot use the regular expression '" + pattern + "' of '" + where + "'", reason);
}

// What a class escape means in Oniguruma, as members of a PCRE2 class; "" for other escapes.
std::string class_members(char escape, bool in_class) {
  // Letters, marks, digits, connectors and the symbols that are letters in a circle or square.
  static constexpr const char* kWord =
      R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
  static constexpr const char* kLatinNumbers = R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
  switch (escape) {
    case 's':
    case 'S':
      return R"(\x{9}-\x{d}\x{85}\p{Z})";  // PCRE2's own \s also has U+180E
    case 'w':
    case 'W':  // outside a class Oniguruma also takes the superscripts and fractions of Latin-1
      return in_class ? kWord : std::string(kWord) + kLatinNumbers;
    case 'd':
    case 'D':
      return R"(\p{Nd})";
    default:
      return "";
  }
}

// Rewrites one pattern from left to right; knows only whether it is inside a class.
class Translator {
 public:
  Translator(const std::string& pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    while (position_ < pattern_.size()) {
      const char c = pattern_[position_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else {
        if (c == '[')
          open_class();
        else
          copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  void copy(std::size_t count) {
    out_.append(pattern_, position_, count);
    position_ += count;
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (position_ < pattern_.size() && pattern_[position_] == '^') copy(1);
  }

  void class_character(char c) {
    if (c == '[') {
      const std::size_t end = pattern_.find(":]", position_);
      if (position_ + 1 >= pattern_.size() || pattern_[position_ + 1] != ':' || end == std::string::npos) {
        refuse(pattern_, where_, "a class inside a class is not supported");
      }
      copy(end + 2 - position_);
      return;
    }
    if (c == '&' && position_ + 1 < pattern_.size() && pattern_[position_ + 1] == '&') {
      refuse(pattern_, where_, "intersections of classes are not supported");
    }
    if (c == ']') in_class_ = false;
    copy(1);
  }

  void escape() {
    if (position_ + 1 >= pattern_.size()) refuse(pattern_, where_, "it ends in a backslash");
    const char c = pattern_[position_ + 1];
    if (c == 'u') return unicode_escape();
    const std::string members = class_members(c, in_class_);
    if (members.empty()) {
      // Meanings that differ between the two engines; none occurs in the families' tokenizers.
      if (std::string_view("hHRXbBKNGQECgk").find(c) != std::string_view::npos) {
        refuse(pattern_, where_, std::string("'\\") + c + "' is not supported");
      }
      return copy(2);
    }
    const bool negated = std::isupper(static_cast<unsigned char>(c)) != 0;
    if (in_class_ && negated) refuse(pattern_, where_, std::string("'\\") + c + "' inside a class is not supported");
    out_ += in_class_ ? members : (negated ? "[^" : "[") + members + "]";
    position_ += 2;
  }

  void unicode_escape() {
    const std::string digits = pattern_.substr(position_ + 2, 4);
    if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      refuse(pattern_, where_, "'\\u' needs four hexadecimal digits");
    }
    out_ += "\\x{" + digits + "}";
    position_ += 6;
  }

  const std::string& pattern_;
  const std::string& where_;
  std::string out_;
  std::size_t position_ = 0;
  bool in_class_ = false;
};

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Backtracking can take a time exponential in the text. A match of the patterns in use takes some steps for each of its
// characters; one that needs more than the usual steps (ten thousand spaces in a row) may have them, but only so many
// may come in a text that its time stays in proportion to its length.
constexpr std::uint32_t kUsualSteps = 10'000;
constexpr std::uint32_t kMostStepsOfAMatch = 10'000'000;
constexpr std::size_t kLongMatches = 64;
constexpr std::size_t kBytesForALongMatch = 1024;
constexpr std::uint32_t kMostHeapKib = 256 << 10;

// The limits of one thread's matches; made once, since pieces of a text are many and small.
pcre2_match_context* thread_limits() {
  using Context = std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>;
  thread_local const Context context = [] {
    Context made(pcre2_match_context_create(nullptr), &pcre2_match_context_free);
    pcre2_set_heap_limit(made.get(), kMostHeapKib);
    return made;
  }();
  return context.get();
}

class Matcher {
 public:
  Matcher(const pcre2_code* code, std::string_view text)
      : code_(code), text_(text), long_matches_(kLongMatches + text.size() / kBytesForALongMatch) {}

  // As pcre2_match gives it: negative for an error or no match.
  int match(std::size_t from) {
    int count = match(from, kUsualSteps);
    if (count == PCRE2_ERROR_MATCHLIMIT && long_matches_ > 0) {
      --long_matches_;
      count = match(from, kMostStepsOfAMatch);
    }
    return count;
  }
  Match bounds() const {
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data_.get());
    return {bounds[0], bounds[1]};
  }

 private:
  // The JIT uses 32 KiB of stack; the rare match that needs more falls back to the interpreter, which uses the heap.
  int match(std::size_t from, std::uint32_t steps) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text_.data());
    pcre2_set_match_limit(limits_, steps);
    const auto run = [&](std::uint32_t options) {
      return pcre2_match(code_, subject, text_.size(), from, options, data_.get(), limits_);
    };
    const int count = run(PCRE2_NO_UTF_CHECK);
    return count == PCRE2_ERROR_JIT_STACKLIMIT ? run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT) : count;
  }

  const pcre2_code* code_;
  std::string_view text_;
  std::size_t long_matches_;
  pcre2_match_context* limits_ = thread_limits();
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data_{pcre2_match_data_create(1, nullptr),
                                                                            &pcre2_match_data_free};
};

std::size_t next_code_point(std::string_view text, std::size_t position) {
  do {
    ++position;
  } while (position < text.size() && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

}  // namespace

std::string translate_regex(const std::string& pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

std::string escape_regex(std::string_view literal) {
  std::string pattern;
  for (char c : literal) {
    if (std::ispunct(static_cast<unsigned char>(c)) != 0) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

Regex::Regex(const std::string& pattern, const std::string& where) : pattern_(pattern), where_(where) {
  if (pattern.size() > kLongestPattern) refuse(pattern.substr(0, 40) + "...", where, "it is too long");
  const std::string translated = translate_regex(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // In Ruby's syntax ^ and $ always match at lines.
  const std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error,
                                   &offset, nullptr);
  if (code == nullptr) refuse(pattern, where, message_of(error) + " at offset " + std::to_string(offset));
  code_.reset(code, pcre2_code_free);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, matching is only slower
}

void Regex::for_each_match(std::string_view text, const std::function<void(Match)>& action) const {
  Matcher matcher(code_.get(), text);
  std::size_t from = 0;
  std::size_t last_end = std::string_view::npos;
  while (from <= text.size()) {
    const int count = matcher.match(from);
    if (count == PCRE2_ERROR_NOMATCH) return;
    if (count < 0) refuse(pattern_, where_, "matching failed: " + message_of(count));
    const Match match = matcher.bounds();
    if (match.begin >= match.end && match.end == last_end) {
      from = next_code_point(text, from);
      continue;
    }
    from = last_end = match.end;
    action(match);
  }
}

}  // namespace tercet::text
