// How messages follow each other in a file: TensorFlow's records, and LevelDB's log as Weights & Biases writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tercet::track {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
std::uint32_t crc32c(std::string_view bytes);
// As TensorFlow stores it: rotated and shifted, since a checksum of bytes that hold checksums is a weak one.
std::uint32_t masked(std::uint32_t crc);

// Length, its checksum, the message, its checksum.
std::string tensorflow_record(std::string_view message);

// Blocks of 32 KiB; a message is cut at their ends. Each part has a header of 7 bytes: CRC-32 (zlib's, not masked) of
// type and part, length, type (1 whole, 2 first, 3 middle, 4 last). What is left of a block and too small for a header
// is 0.
class LevelDbLog {
 public:
  static std::string header();  // the first 7 bytes of a .wandb file
  // The bytes of a message that follows `position` bytes of the file; moves the position on.
  static std::string record(std::string_view message, std::uint64_t& position);
};

}  // namespace tercet::track
