// "did you mean ...?" for keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/schema.hpp"

namespace tercet::config {

const Row<JobConfig>* find_row(std::string_view key);
bool is_section(std::string_view key);

// For an unknown key `name` inside `section` ("" at the top): "; did you mean 'training.tokens'?", or "".
// A key of the same name elsewhere counts as near: it was put into the wrong section.
std::string suggest_key(const std::string& section, const std::string& name);
// The same for a name that must be one of `names`.
std::string suggest_among(const std::string& name, const std::vector<std::string>& names);
// Inside an item of a list (SourceConfig, TaskConfig).
template <class Item>
std::string suggest_item_key(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& row : rows_of(Item{})) names.emplace_back(row.key);
  return suggest_among(name, names);
}

}  // namespace tercet::config
