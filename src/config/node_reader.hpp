// What reading a YAML tree by a schema table needs whatever the table: places, mistakes, scalars, paths.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <type_traits>

#include "config/document.hpp"
#include "config/problems.hpp"
#include "config/scalar.hpp"
#include "config/schema.hpp"

namespace tercet::config {

std::string join_key(const std::string& section, const std::string& name);  // "a.b"
std::string item_key(const std::string& key, std::size_t index);            // "a[0]"

class NodeReader {
 public:
  explicit NodeReader(Problems& problems) : problems_(problems) {}

  // Where a key was given, or the place to name for one that was not.
  Place place_of(const std::string& key) const;

 protected:
  template <class Value>
  void read_value(const YamlNode& node, const std::string& key, const Limits& limits, Value& out);
  // A row of a table without lists, into the field of `owner` that it names.
  template <class Owner>
  void read_row(const Row<Owner>& row, Owner& owner, const YamlNode& node);
  // Also refuses a list longer than any real one, which bounds the work of the checks on its items.
  bool is_list(const YamlNode& node, const std::string& key, const char* example);
  // Whether it is a group of keys; an empty one (a heading whose keys are all commented out) has no members.
  bool is_group(const YamlNode& node, const std::string& key);
  // Calls use(name, key node, value node) for each member of a map; refuses odd and repeated keys.
  template <class Use>
  void for_each_member(const YamlNode& map, const std::string& section, Use&& use);

  void resolve(const Limits& limits, std::string& value) const;
  void problem(const YamlNode& node, const std::string& key, const std::string& text);
  Place place(const YamlNode& node) const;

  Problems& problems_;
  std::string source_;            // of what is being read
  std::string file_;              // of the first text
  std::filesystem::path folder_;  // that relative paths start from
  bool override_ = false;
  std::map<std::string, Place> places_;
};

template <class Value>
void NodeReader::read_value(const YamlNode& node, const std::string& key, const Limits& limits, Value& out) {
  if (node.kind == YamlNode::Kind::kUnsupported) return problem(node, key, node.text);
  const bool may_be_empty = std::is_same_v<Value, std::optional<std::int64_t>>;
  if (node.kind == YamlNode::Kind::kNull && !may_be_empty) {
    return problem(node, key, "has no value; give one or leave the key out");
  }
  const std::string wrong = read_scalar(node, limits, out);
  if (!wrong.empty()) return problem(node, key, wrong);
  if constexpr (std::is_same_v<Value, std::string>) resolve(limits, out);
}

template <class Owner>
void NodeReader::read_row(const Row<Owner>& row, Owner& owner, const YamlNode& node) {
  with_field(row, owner, [&](auto& field) {
    using Value = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string>) {
      read_value(node, std::string(row.key), row.limits, field);
    }
  });
}

template <class Use>
void NodeReader::for_each_member(const YamlNode& map, const std::string& section, Use&& use) {
  std::map<std::string, const YamlNode*> seen;
  for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
    const YamlNode& key_node = map.items[i];
    if (key_node.kind != YamlNode::Kind::kScalar) {
      problem(key_node, section, "a key must be a word, not " + describe(key_node));
      continue;
    }
    const auto [first, fresh] = seen.emplace(key_node.text, &key_node);
    if (!fresh) {
      const std::string line = override_ ? "" : " (first in line " + std::to_string(first->second->line) + ")";
      problem(key_node, join_key(section, key_node.text), "given twice" + line);
    }
    use(key_node.text, key_node, map.items[i + 1]);
  }
}

}  // namespace tercet::config
