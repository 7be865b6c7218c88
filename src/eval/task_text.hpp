// The string functions of Python that the harness's prompts go through, on valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tercet::eval {

std::size_t end_without_space(std::string_view text);  // length of text.rstrip()
std::string_view strip(std::string_view text);         // text.strip()
std::string capitalize(std::string_view text);         // first character in title case, the others in lower case
std::int64_t characters(std::string_view text);        // len(text): code points
std::string replace_all(std::string_view text, std::string_view what, std::string_view by);
std::string without_brackets(std::string_view text);  // re.sub(r"\[.*?\]", "", text)

}  // namespace tercet::eval
