// Text files of a source: found by path, folder or glob, and read whole, decompressed where need be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tercet/base/file.hpp"

namespace tercet::text {

struct TextFormat {
  bool json_lines = false;
  enum class Compression { kNone, kGzip, kZstd } compression = Compression::kNone;
};

// By suffix: .jsonl (else plain text), then .gz or .zst.
TextFormat format_of(const std::filesystem::path& path);

// The files of a source, sorted by path. Throws DataError if there is none.
std::vector<std::filesystem::path> list_text_files(const std::string& source);

// The text of one file: mapped, or decompressed in memory. Throws DataError for damaged compression.
class TextContent {
 public:
  explicit TextContent(const std::filesystem::path& path);
  std::string_view view() const;

 private:
  std::variant<MappedFile, std::string> content_;
};

// Throws DataError with the byte offset in the file if `text`, which begins at `offset` of the file `path`, is not
// UTF-8.
void require_utf8(std::string_view text, const std::filesystem::path& path, std::uint64_t offset = 0);

}  // namespace tercet::text
