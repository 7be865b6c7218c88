#include "track/framing.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "track/protobuf.hpp"

namespace tercet::track {
namespace {

constexpr std::array<std::uint32_t, 256> castagnoli_table() {
  constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

constexpr std::uint64_t kBlock = 32768;
constexpr std::uint64_t kPartHeader = 7;

std::string part(char type, std::string_view content) {
  const std::string checked = type + std::string(content);
  const auto crc = static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size())));
  std::string bytes;
  append_number(bytes, crc);
  append_number(bytes, static_cast<std::uint16_t>(content.size()));
  return bytes + checked;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = castagnoli_table();
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(byte)) & 255] ^ crc >> 8;
  return ~crc;
}

std::uint32_t masked(std::uint32_t crc) {
  return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

std::string tensorflow_record(std::string_view message) {
  std::string bytes;
  append_number(bytes, static_cast<std::uint64_t>(message.size()));
  append_number(bytes, masked(crc32c(bytes)));
  bytes.append(message);
  append_number(bytes, masked(crc32c(message)));
  return bytes;
}

std::string LevelDbLog::header() {
  std::string bytes = ":W&B";
  append_number(bytes, std::uint16_t{0xBEE1});
  return bytes + '\0';  // version
}

std::string LevelDbLog::record(std::string_view message, std::uint64_t& position) {
  std::string bytes;
  for (bool first = true, last = false; !last; first = false) {
    std::uint64_t room = kBlock - (position + bytes.size()) % kBlock;
    if (room < kPartHeader) {
      bytes.append(room, '\0');
      room = kBlock;
    }
    const std::size_t size = std::min<std::size_t>(message.size(), room - kPartHeader);
    last = size == message.size();
    bytes += part(static_cast<char>(first ? (last ? 1 : 2) : (last ? 4 : 3)), message.substr(0, size));
    message.remove_prefix(size);
  }
  position += bytes.size();
  return bytes;
}

}  // namespace tercet::track
