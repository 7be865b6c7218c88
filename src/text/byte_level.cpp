#include "text/byte_level.hpp"

#include "text/unicode.hpp"

namespace tercet::text {
namespace {

// Printable Latin-1 stands for itself; the other 68 bytes, in order, for U+0100 and up.
std::array<char32_t, 256> make_code_points() {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    table[byte] = printable ? byte : next++;
  }
  return table;
}

std::array<int, 0x144> make_bytes() {
  std::array<int, 0x144> table;
  table.fill(-1);
  for (int byte = 0; byte < 256; ++byte) table[byte_code_points()[static_cast<std::size_t>(byte)]] = byte;
  return table;
}

}  // namespace

const std::array<char32_t, 256>& byte_code_points() {
  static const std::array<char32_t, 256> kTable = make_code_points();
  return kTable;
}

int byte_of_code_point(char32_t c) {
  static const std::array<int, 0x144> kTable = make_bytes();
  return c < kTable.size() ? kTable[c] : -1;
}

bool bytes_of_entry(std::string_view entry, std::string& bytes) {
  bytes.clear();
  for (std::size_t position = 0; position < entry.size();) {
    unsigned length = 0;
    const int byte = byte_of_code_point(code_point_at(entry, position, &length));
    if (byte < 0) return false;
    bytes += static_cast<char>(byte);
    position += length;
  }
  return true;
}

}  // namespace tercet::text
