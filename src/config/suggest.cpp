#include "config/suggest.hpp"

#include <algorithm>

#include "tercet/base/text.hpp"

namespace tercet::config {
namespace {

constexpr std::size_t kLongestName = 64;  // no key is near to a longer word, and comparing would take long

std::vector<std::string> all_keys() {
  std::vector<std::string> keys;
  for (const SectionRow& row : sections()) keys.emplace_back(row.key);
  for (const auto& row : job_rows()) keys.emplace_back(row.key);
  return keys;
}

std::string leaf_of(const std::string& key) {
  return key.substr(key.rfind('.') + 1);
}
std::string parent_of(const std::string& key) {
  const std::size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

// The key whose last part is nearest to `name` among those that `wanted` accepts.
template <class Wanted>
std::string nearest_by_leaf(const std::string& name, Wanted&& wanted) {
  std::vector<std::string> keys = all_keys();
  std::erase_if(keys, [&wanted](const std::string& key) { return !wanted(key); });
  std::vector<std::string> leaves;
  for (const std::string& key : keys) leaves.push_back(leaf_of(key));
  const std::string near = nearest_word(name, leaves);
  const auto found = std::find(leaves.begin(), leaves.end(), near);
  return near.empty() ? "" : keys[static_cast<std::size_t>(found - leaves.begin())];
}

std::string question(const std::string& key) {
  return key.empty() ? "" : "; did you mean '" + key + "'?";
}

}  // namespace

const Row<JobConfig>* find_row(std::string_view key) {
  for (const auto& row : job_rows()) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

bool is_section(std::string_view key) {
  return lists(sections(), key);
}

std::string suggest_key(const std::string& section, const std::string& name) {
  if (name.size() > kLongestName) return "";
  const std::string exact = nearest_by_leaf(name, [&name](const std::string& key) { return leaf_of(key) == name; });
  if (!exact.empty()) return question(exact);
  if (name.find('.') != std::string::npos) return question(nearest_word(name, all_keys()));
  const std::string sibling =
      nearest_by_leaf(name, [&section](const std::string& key) { return parent_of(key) == section; });
  if (!sibling.empty()) return question(sibling);
  return question(nearest_by_leaf(name, [](const std::string&) { return true; }));
}

std::string suggest_among(const std::string& name, const std::vector<std::string>& names) {
  return name.size() > kLongestName ? "" : question(nearest_word(name, names));
}

}  // namespace tercet::config
