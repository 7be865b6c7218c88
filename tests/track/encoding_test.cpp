#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "track/framing.hpp"
#include "track/protobuf.hpp"

namespace tercet::track {
namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

// The examples of protobuf.dev/programming-guides/encoding.
TEST(Protobuf, WritesTheExamplesOfItsSpecification) {
  EXPECT_EQ(hex(Message().integer(1, 150).bytes()), "089601");
  EXPECT_EQ(hex(Message().text(2, "testing").bytes()), "120774657374696e67");
  EXPECT_EQ(hex(Message().message(3, Message().integer(1, 150)).bytes()), "1a03089601");
  EXPECT_EQ(hex(Message().integer(1, -2).bytes()), "08feffffffffffffffff01");
}

TEST(Protobuf, WritesVarintsAtTheirLimits) {
  EXPECT_EQ(hex(Message().integer(1, 0).bytes()), "0800");
  EXPECT_EQ(hex(Message().integer(1, 127).bytes()), "087f");
  EXPECT_EQ(hex(Message().integer(1, 128).bytes()), "088001");
  EXPECT_EQ(hex(Message().integer(16, 1).bytes()), "800101");  // the key is 16 << 3
}

// IEEE 754: 1.0 is 0x3ff0000000000000, and 0x3f800000 in 32 bits.
TEST(Protobuf, WritesFloatingPointLittleEndian) {
  EXPECT_EQ(hex(Message().number(1, 1.0).bytes()), "09000000000000f03f");
  EXPECT_EQ(hex(Message().single(2, 1.0F).bytes()), "150000803f");
}

// RFC 3720, B.4; and the check value of the CRC catalogues.
TEST(Crc32c, HasThePublishedValues) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
}

// Turned back as TensorFlow's lib/hash/crc32c.h does.
TEST(Crc32c, MaskIsUndoneByTensorFlowsFormula) {
  const std::uint32_t crc = 0xE3069283U;
  const std::uint32_t rotated = masked(crc) - 0xa282ead8U;
  EXPECT_EQ(rotated >> 17 | rotated << 15, crc);
}

TEST(TensorFlowRecord, FramesAMessage) {
  const std::string record = tensorflow_record("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(hex(record.substr(0, 8)), "0300000000000000");
  EXPECT_EQ(record.substr(12, 3), "abc");
}

struct Part {
  int type;
  std::size_t size;
};

// The parts of what follows `position` bytes of a file, and how many bytes of filling were between them.
std::vector<Part> parts_of(const std::string& bytes, std::uint64_t position, std::size_t& filling) {
  std::vector<Part> parts;
  filling = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t room = 32768 - (position + at) % 32768;
    if (room < 7) {
      EXPECT_EQ(bytes.substr(at, room), std::string(room, '\0'));
      filling += room;
      at += room;
      continue;
    }
    std::uint16_t size = 0;
    std::memcpy(&size, bytes.data() + at + 4, 2);
    parts.push_back({bytes[at + 6], size});
    at += 7 + size;
  }
  return parts;
}

TEST(LevelDbLog, BeginsWithTheSevenBytesOfWandb) {
  EXPECT_EQ(hex(LevelDbLog::header()), "3a572642e1be00");
}

TEST(LevelDbLog, WritesASmallMessageAsOnePart) {
  std::uint64_t position = 7;
  const std::string bytes = LevelDbLog::record("abc", position);
  EXPECT_EQ(position, 7u + 7 + 3);
  EXPECT_EQ(bytes.substr(7), "abc");
  // CRC-32 of 01 61 62 63, by Python: zlib.crc32(b"\x01abc")
  EXPECT_EQ(hex(bytes.substr(0, 7)), "a9209d53030001");
}

TEST(LevelDbLog, CutsAMessageAtTheEndsOfBlocks) {
  std::uint64_t position = 32768 - 17;
  std::size_t filling = 0;
  const std::string bytes = LevelDbLog::record(std::string(10 + (32768 - 7) + 5, 'x'), position);
  const auto parts = parts_of(bytes, 32768 - 17, filling);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].type, 2);
  EXPECT_EQ(parts[0].size, 10u);
  EXPECT_EQ(parts[1].type, 3);
  EXPECT_EQ(parts[1].size, 32768u - 7);
  EXPECT_EQ(parts[2].type, 4);
  EXPECT_EQ(parts[2].size, 5u);
  EXPECT_EQ(filling, 0u);
  EXPECT_EQ(position, 32768u * 2 + 7 + 5);
}

TEST(LevelDbLog, FillsWhatIsTooSmallForAHeader) {
  std::uint64_t position = 32768 - 6;
  std::size_t filling = 0;
  const auto parts = parts_of(LevelDbLog::record("abc", position), 32768 - 6, filling);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].type, 1);
  EXPECT_EQ(filling, 6u);
}

TEST(LevelDbLog, PutsAnEmptyFirstPartWhereJustAHeaderFits) {
  std::uint64_t position = 32768 - 7;
  std::size_t filling = 0;
  const auto parts = parts_of(LevelDbLog::record("abc", position), 32768 - 7, filling);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].type, 2);
  EXPECT_EQ(parts[0].size, 0u);
  EXPECT_EQ(parts[1].type, 4);
  EXPECT_EQ(filling, 0u);
}

}  // namespace
}  // namespace tercet::track
