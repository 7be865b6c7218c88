#include "markdown_table.hpp"

namespace tercet::job {

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (const std::string& cell : rows[r]) {
      text += "| ";
      for (char c : cell) text += c == '|' ? "\\|" : std::string(1, c);
      text += " ";
    }
    text += "|\n";
    if (r > 0) continue;
    for (std::size_t c = 0; c < rows[0].size(); ++c) text += "|---";
    text += "|\n";
  }
  return text;
}

}  // namespace tercet::job
