// The little Unicode that tokenizers need, on UTF-8 strings.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tercet/base/utf8.hpp"

namespace tercet::text {

using tercet::first_invalid_utf8;
using tercet::lossy_utf8;
using tercet::utf8_step;
using tercet::Utf8Step;

inline constexpr std::string_view kSentencePieceSpace = "\xE2\x96\x81";  // U+2581, the space of its vocabularies

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
