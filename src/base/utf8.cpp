#include "tercet/base/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace tercet {
namespace {

unsigned char byte_at(std::string_view bytes, std::size_t position) {
  return static_cast<unsigned char>(bytes[position]);
}

// Length of a sequence by its first byte, and the bounds of its second byte (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF). Length 0: not a first byte.
struct Lead {
  unsigned length;
  unsigned char low = 0x80, high = 0xBF;
};

Lead lead_of(unsigned char first) {
  if (first < 0x80) return {1};
  if (first < 0xC2) return {0};
  if (first < 0xE0) return {2};
  if (first < 0xF0) {
    return {3, static_cast<unsigned char>(first == 0xE0 ? 0xA0 : 0x80),
            static_cast<unsigned char>(first == 0xED ? 0x9F : 0xBF)};
  }
  if (first < 0xF5) {
    return {4, static_cast<unsigned char>(first == 0xF0 ? 0x90 : 0x80),
            static_cast<unsigned char>(first == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0};
}

}  // namespace

Utf8Step utf8_step(std::string_view bytes, std::size_t position) {
  const unsigned char first = byte_at(bytes, position);
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {};
  if (lead.length == 1) return {first, 1, true};
  char32_t value = first & (0x7Fu >> lead.length);
  for (unsigned i = 1; i < lead.length; ++i) {
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (position + i >= bytes.size()) return {0, i, false};
    const unsigned char next = byte_at(bytes, position + i);
    if (next < low || next > high) return {0, i, false};
    value = value << 6 | (next & 0x3F);
  }
  return {value, lead.length, true};
}

std::size_t first_invalid_utf8(std::string_view bytes) {
  std::size_t position = 0;
  while (position < bytes.size()) {
    std::uint64_t word = 0;
    if (position + sizeof word <= bytes.size()) {
      std::memcpy(&word, bytes.data() + position, sizeof word);
      if ((word & 0x8080808080808080ULL) == 0) {
        position += sizeof word;
        continue;
      }
    }
    const Utf8Step step = utf8_step(bytes, position);
    if (!step.valid) return position;
    position += step.length;
  }
  return std::string_view::npos;
}

std::string lossy_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t position = 0; position < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, position);
    if (step.valid) {
      text.append(bytes, position, step.length);
    } else {
      text += "\xEF\xBF\xBD";
    }
    position += step.length;
  }
  return text;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string shown;
  for (std::size_t position = 0; position < text.size() && shown.size() < limit;) {
    const Utf8Step step = utf8_step(text, position);
    const bool control = step.valid && (step.code_point < 0x20 || (step.code_point >= 0x7F && step.code_point < 0xA0));
    if (!step.valid) {
      shown += "\xEF\xBF\xBD";
    } else if (control && step.code_point != '\n' && step.code_point != '\t') {
      static constexpr char kDigits[] = "0123456789abcdef";
      shown += std::string("\\x") + kDigits[step.code_point >> 4] + kDigits[step.code_point & 15];
    } else {
      shown.append(text, position, step.length);
    }
    position += step.length;
    if (shown.size() >= limit && position < text.size()) shown += " ...";
  }
  return shown;
}

}  // namespace tercet
