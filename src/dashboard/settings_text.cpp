#include "dashboard/settings_text.hpp"

#include <sstream>
#include <utility>
#include <vector>

namespace tercet::dashboard {
namespace {

constexpr std::size_t kMostSettings = 5000;

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \r") + 1 - begin);
}

}  // namespace

std::map<std::string, std::string> settings_in(const std::string& yaml) {
  std::map<std::string, std::string> settings;
  std::vector<std::pair<std::size_t, std::string>> around;  // (indentation, key) of the sections around
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line) && settings.size() < kMostSettings;) {
    const std::size_t indent = line.find_first_not_of(' ');
    if (indent == std::string::npos || line[indent] == '#') continue;
    const bool item = line[indent] == '-';
    // An item of a list may stand as far left as the key of the list.
    while (!around.empty() && (around.back().first > indent || (around.back().first == indent && !item)))
      around.pop_back();
    std::string name;
    for (const auto& [column, key] : around) name += (name.empty() ? "" : ".") + key;
    const std::size_t colon = line.find(':', indent);
    if (item || colon == std::string::npos) {
      std::string& value = settings[name];
      value += (value.empty() ? "" : " ") + trimmed(line);
      continue;
    }
    const std::string key = line.substr(indent, colon - indent), value = trimmed(line.substr(colon + 1));
    if (!value.empty()) settings[name.empty() ? key : name + "." + key] = value;
    around.emplace_back(indent, key);
  }
  return settings;
}

}  // namespace tercet::dashboard
