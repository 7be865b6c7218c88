#include "text/documents.hpp"

#include <algorithm>

#include "text/json_view.hpp"

namespace tercet::text {
namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

}  // namespace

std::vector<std::string_view> plain_documents(std::string_view text) {
  std::vector<std::string_view> documents;
  std::size_t begin = 0;
  bool ends = false;  // long enough and followed by a blank line: the next line that is not blank begins another
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.find('\n', at), text.size() - 1) + 1;
    const bool blank = is_blank(text.substr(at, next - at));
    if (blank) {
      ends = ends || at - begin >= kDocumentBytes;
    } else if (ends) {
      documents.push_back(text.substr(begin, at - begin));
      begin = at;
      ends = false;
    }
    at = next;
  }
  if (begin < text.size()) documents.push_back(text.substr(begin));
  return documents;
}

std::vector<JsonLine> json_lines(std::string_view text) {
  std::vector<JsonLine> lines;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string_view line = text.substr(at, next - at);
    at = next;
    ++number;
    if (!is_blank(line)) lines.push_back({line, number});
  }
  return lines;
}

std::string json_document(const JsonLine& line, const std::string& field, const std::filesystem::path& path) {
  const nlohmann::json value = parse_json(line.line, path.string() + ":" + std::to_string(line.number));
  const JsonView view(value, path.string() + ":" + std::to_string(line.number));
  return view.at(field).string();
}

}  // namespace tercet::text
