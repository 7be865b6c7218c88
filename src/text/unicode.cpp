#include "text/unicode.hpp"

#include <utf8proc.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tercet/base/error.hpp"

namespace tercet::text {
namespace {

unsigned char byte_at(std::string_view bytes, std::size_t position) {
  return static_cast<unsigned char>(bytes[position]);
}

// Below this, a code point is its own normal form and never combines with its left neighbour.
char32_t first_affected(NormalForm form) {
  switch (form) {
    case NormalForm::kNfc:
      return 0x300;
    case NormalForm::kNfd:
      return 0xC0;
    default:
      return 0xA0;
  }
}

utf8proc_option_t options_of(NormalForm form) {
  int options = UTF8PROC_STABLE;
  options |= (form == NormalForm::kNfc || form == NormalForm::kNfkc) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

void append_normalized(std::string& out, std::string_view run, NormalForm form) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(run.data()),
                                               static_cast<utf8proc_ssize_t>(run.size()), &result, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  if (length < 0) throw DataError("cannot normalize a text", utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(result), static_cast<std::size_t>(length));
}

// End of the leading part of `text` from `position` on whose code points are below `limit`.
std::size_t skip_below(std::string_view text, std::size_t position, char32_t limit) {
  while (position < text.size()) {
    if (byte_at(text, position) < 0x80) {
      ++position;
      continue;
    }
    unsigned length = 0;
    if (code_point_at(text, position, &length) >= limit) break;
    position += length;
  }
  return position;
}

std::size_t skip_from(std::string_view text, std::size_t position, char32_t limit) {
  while (position < text.size()) {
    unsigned length = 0;
    if (code_point_at(text, position, &length) < limit) break;
    position += length;
  }
  return position;
}

}  // namespace

char32_t code_point_at(std::string_view text, std::size_t position, unsigned* length) {
  const unsigned char first = byte_at(text, position);
  const auto rest = [&](unsigned i) { return static_cast<char32_t>(byte_at(text, position + i) & 0x3F); };
  unsigned size = 1;
  char32_t value = first;
  if (first >= 0xF0) {
    size = 4;
    value = (first & 0x07u) << 18 | rest(1) << 12 | rest(2) << 6 | rest(3);
  } else if (first >= 0xE0) {
    size = 3;
    value = (first & 0x0Fu) << 12 | rest(1) << 6 | rest(2);
  } else if (first >= 0x80) {
    size = 2;
    value = (first & 0x1Fu) << 6 | rest(1);
  }
  if (length != nullptr) *length = size;
  return value;
}

std::size_t last_code_point_start(std::string_view text) {
  std::size_t position = text.size() - 1;
  while (position > 0 && (byte_at(text, position) & 0xC0) == 0x80) --position;
  return position;
}

void append_utf8(std::string& text, char32_t c) {
  const auto push = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6);
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12);
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18);
    push(0x80 | (c >> 12 & 0x3F));
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:  // joiners and the circled and squared Latin letters, which are symbols with property Alphabetic
      return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

std::string normalize(std::string_view text, NormalForm form) {
  // Most text needs no change: only runs of affected code points, with the one before each, go through the tables.
  const char32_t limit = first_affected(form);
  std::string out;
  out.reserve(text.size());
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t affected = skip_below(text, begin, limit);
    if (affected == text.size()) {
      out.append(text, begin);
      break;
    }
    const std::size_t run =
        affected == begin ? begin : begin + last_code_point_start(text.substr(begin, affected - begin));
    const std::size_t end = skip_from(text, affected, limit);
    out.append(text, begin, run - begin);
    append_normalized(out, text.substr(run, end - run), form);
    begin = end;
  }
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t position = 0; position < text.size();) {
    unsigned length = 0;
    const char32_t c = code_point_at(text, position, &length);
    if (c == 0x130) {  // the only code point whose lower case is two: i and a combining dot above
      out += "i\xCC\x87";
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
    position += length;
  }
  return out;
}

}  // namespace tercet::text
