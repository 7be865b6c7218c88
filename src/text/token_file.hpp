// Writing token files: ids stream through a temporary name, the header comes last, and a rename publishes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tercet/base/hash.hpp"

namespace tercet::text {

// The first 256 bytes of a token file, little endian; the rest are the ids.
struct TokenFileHeader {
  std::array<char, 8> magic = {'T', 'E', 'R', 'C', 'E', 'T', 'I', 'D'};
  std::uint32_t version = 1;
  std::uint32_t bytes_per_id = 2;  // 2 or 4
  std::uint64_t ids = 0;
  std::uint64_t documents = 0;
  std::array<char, 64> key{};         // hexadecimal
  std::array<char, 64> ids_sha256{};  // hexadecimal
  std::array<char, 96> reserved{};
};
static_assert(sizeof(TokenFileHeader) == 256);

// A file written under a temporary name; removed unless published. Throws StoreError.
class StagedFile {
 public:
  explicit StagedFile(const std::filesystem::path& path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write_at_start(std::span<const std::byte> bytes);
  void close();                                       // flushed to disk
  void publish(const std::filesystem::path& target);  // closes and renames
  const std::filesystem::path& path() const { return path_; }

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

class TokenFileWriter {
 public:
  TokenFileWriter(const std::filesystem::path& staged, std::uint32_t bytes_per_id);
  void append(std::span<const std::byte> ids);
  void publish(const std::filesystem::path& target, const std::string& key, std::uint64_t documents);

 private:
  StagedFile file_;
  TokenFileHeader header_;
  Sha256 hash_;
  std::uint64_t bytes_ = 0;
};

// Ids as they lie in a token file.
std::vector<std::byte> pack_ids(std::span<const std::int32_t> ids, std::uint32_t bytes_per_id);

}  // namespace tercet::text
