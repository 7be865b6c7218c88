// The little Unicode that tokenizers need, on UTF-8 strings.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tercet::text {

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

// The following take valid UTF-8.
char32_t code_point_at(std::string_view text, std::size_t position, unsigned* length = nullptr);
std::size_t last_code_point_start(std::string_view text);  // of a text that is not empty
void append_utf8(std::string& text, char32_t code_point);

bool is_white_space(char32_t code_point);  // property White_Space
bool is_word(char32_t code_point);         // letters, marks, digits, connectors: \w of the Rust regex crate

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string normalize(std::string_view text, NormalForm form);
std::string lower_case(std::string_view text);  // full mapping of each code point by itself

}  // namespace tercet::text
