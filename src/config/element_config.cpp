#include "tercet/config/element_config.hpp"

#include <algorithm>

namespace tercet {

bool is_plain_name(const std::string& name) {
  constexpr std::size_t kLongest = 100;
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= kLongest && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), fits);
}

}  // namespace tercet
