// Reads TensorBoard's event files back, as far as we write them.
#pragma once

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tercet/base/file.hpp"
#include "track/framing.hpp"

namespace tercet::test {

struct Field {
  std::uint64_t varint = 0;  // or the bits of a number
  std::string_view bytes;
};

inline std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.at(0));
    rest.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
}

// The last field of each number.
inline std::map<int, Field> fields_of(std::string_view message) {
  std::map<int, Field> fields;
  while (!message.empty()) {
    const std::uint64_t key = take_varint(message);
    Field field;
    std::size_t size = 0;
    if ((key & 7) == 0) field.varint = take_varint(message);
    if ((key & 7) == 1) size = 8;
    if ((key & 7) == 5) size = 4;
    if ((key & 7) == 2) size = take_varint(message);
    field.bytes = message.substr(0, size);
    if ((key & 7) == 1 || (key & 7) == 5) std::memcpy(&field.varint, field.bytes.data(), size);
    message.remove_prefix(size);
    fields[static_cast<int>(key >> 3)] = field;
  }
  return fields;
}

using Points = std::map<std::string, std::vector<std::pair<std::int64_t, float>>>;  // step and value, by tag

// Those that are not empty.
inline std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.file_size() > 0) files.push_back(entry.path());
  }
  return files;
}

// The scalars of the only file in a folder.
inline Points read_events(const std::filesystem::path& folder) {
  Points points;
  const std::string content = read_file(event_files(folder).at(0));
  for (std::string_view rest = content; !rest.empty();) {
    std::uint64_t size = 0;
    std::memcpy(&size, rest.data(), 8);
    const std::string_view record = rest.substr(0, 8 + 4 + size + 4), message = record.substr(12, size);
    if (track::tensorflow_record(message) != record) throw std::runtime_error("a damaged record");
    rest.remove_prefix(record.size());
    auto event = fields_of(message);
    if (!event.contains(5)) continue;
    auto value = fields_of(fields_of(event[5].bytes)[1].bytes);
    if (!value.contains(2)) continue;
    float number = 0;
    std::memcpy(&number, value[2].bytes.data(), 4);
    points[std::string(value[1].bytes)].emplace_back(static_cast<std::int64_t>(event[2].varint), number);
  }
  return points;
}

}  // namespace tercet::test
