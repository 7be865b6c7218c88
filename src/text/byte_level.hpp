// The printable stand-ins of byte-level tokenizers: each byte is written as one code point (Radford et al. 2019).
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace tercet::text {

const std::array<char32_t, 256>& byte_code_points();
int byte_of_code_point(char32_t code_point);  // -1: stands for no byte

// The bytes that a vocabulary entry stands for; false if it has a code point that stands for none.
bool bytes_of_entry(std::string_view entry, std::string& bytes);

}  // namespace tercet::text
