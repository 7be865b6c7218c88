#include "eval/task_text.hpp"

#include <utf8proc.h>

#include "tercet/base/utf8.hpp"

namespace tercet::eval {
namespace {

// str.isspace(): the property White_Space, and the four separators of ASCII.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

void append(std::string& text, utf8proc_int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(code_point, bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

}  // namespace

std::size_t end_without_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && continues(text[begin])) --begin;
    if (!is_space(utf8_step(text, begin).code_point)) break;
    end = begin;
  }
  return end;
}

std::string_view strip(std::string_view text) {
  text = text.substr(0, end_without_space(text));
  while (!text.empty()) {
    const Utf8Step first = utf8_step(text, 0);
    if (!is_space(first.code_point)) break;
    text.remove_prefix(first.length);
  }
  return text;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const auto c = static_cast<utf8proc_int32_t>(step.code_point);
    append(out, at == 0 ? utf8proc_totitle(c) : utf8proc_tolower(c));
    at += step.length;
  }
  return out;
}

std::int64_t characters(std::string_view text) {
  std::int64_t count = 0;
  for (char byte : text) count += continues(byte) ? 0 : 1;
  return count;
}

std::string replace_all(std::string_view text, std::string_view what, std::string_view by) {
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(what, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += by;
    at = found + what.size();
  }
}

// The dot matches everything but the end of a line.
std::string without_brackets(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text[at] == '[' ? text.find_first_of("]\n", at) : std::string_view::npos;
    if (end != std::string_view::npos && text[end] == ']') {
      at = end + 1;
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace tercet::eval
