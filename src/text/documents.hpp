// How a text file is cut into documents.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tercet::text {

inline constexpr std::size_t kDocumentBytes = 4096;

// Plain text: a document ends with the blank lines after it once it has at least kDocumentBytes. Nothing is left out:
// the documents joined are the text.
std::vector<std::string_view> plain_documents(std::string_view text);

struct JsonLine {
  std::string_view line;
  std::size_t number = 0;  // from 1
};
std::vector<JsonLine> json_lines(std::string_view text);  // blank lines are left out

// The string member `field` of a line. Throws DataError naming file and line.
std::string json_document(const JsonLine& line, const std::string& field, const std::filesystem::path& path);

}  // namespace tercet::text
