// Is it UTF-8, and how can it be shown: for bytes that come from outside.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tercet {

// What stands at one position of a byte string. `length` is that of the code point, or of the longest invalid prefix
// that is replaced by one U+FFFD (Unicode 15, section 3.9, "substitution of maximal subparts").
struct Utf8Step {
  char32_t code_point = 0;
  unsigned length = 1;
  bool valid = false;
};
Utf8Step utf8_step(std::string_view bytes, std::size_t position);

// Offset of the first byte that is not valid UTF-8, or npos.
std::size_t first_invalid_utf8(std::string_view bytes);

// Invalid parts replaced by U+FFFD.
std::string lossy_utf8(std::string_view bytes);

// Text for a person's terminal: invalid parts replaced, control characters other than newline and tab written as \\xNN
// (a name in a file must not move the cursor), and no more than about `limit` bytes of it.
std::string printable(std::string_view text, std::size_t limit);

}  // namespace tercet
