#include "target.hpp"
#include "tercet/base/error.hpp"

namespace tercet::fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

void attack(const Target& target, std::string_view input) {
  try {
    target.read(input);
  } catch (const Error&) {
    // What it is for: a message that names what is wrong.
  }
}

std::vector<std::string_view> parts_of(std::string_view input, std::size_t count) {
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    const std::size_t end = std::min(input.find(kSeparator), input.size());
    parts.push_back(input.substr(0, end));
    input.remove_prefix(std::min(input.size(), end + kSeparator.size()));
  }
  parts.push_back(input);
  return parts;
}

std::string join_parts(const std::vector<std::string>& parts) {
  std::string input;
  for (std::size_t i = 0; i < parts.size(); ++i) input += (i == 0 ? "" : std::string(kSeparator)) + parts[i];
  return input;
}

}  // namespace tercet::fuzz
