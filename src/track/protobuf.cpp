#include "track/protobuf.hpp"

#include <bit>

namespace tercet::track {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr int kVarint = 0, kEightBytes = 1, kLengthDelimited = 2, kFourBytes = 5;

}  // namespace

void Message::varint(std::uint64_t value) {
  for (; value >= 128; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
  bytes_ += static_cast<char>(value);
}

void Message::key(int field, int wire_type) {
  varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire_type));
}

Message& Message::integer(int field, std::int64_t value) {
  key(field, kVarint);
  varint(static_cast<std::uint64_t>(value));
  return *this;
}

Message& Message::number(int field, double value) {
  key(field, kEightBytes);
  append_number(bytes_, value);
  return *this;
}

Message& Message::single(int field, float value) {
  key(field, kFourBytes);
  append_number(bytes_, value);
  return *this;
}

Message& Message::text(int field, std::string_view value) {
  key(field, kLengthDelimited);
  varint(value.size());
  bytes_.append(value);
  return *this;
}

Message& Message::message(int field, const Message& content) {
  return text(field, content.bytes());
}

}  // namespace tercet::track
