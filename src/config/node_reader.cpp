#include "config/node_reader.hpp"

namespace tercet::config {
namespace {

constexpr std::size_t kLongestList = 4096;

}  // namespace

std::string join_key(const std::string& section, const std::string& name) {
  return section.empty() ? name : section + "." + name;
}

std::string item_key(const std::string& key, std::size_t index) {
  return key + "[" + std::to_string(index) + "]";
}

Place NodeReader::place_of(const std::string& key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? Place{file_} : found->second;
}

bool NodeReader::is_list(const YamlNode& node, const std::string& key, const char* example) {
  if (node.kind == YamlNode::Kind::kUnsupported) {
    problem(node, key, node.text);
  } else if (node.kind != YamlNode::Kind::kList) {
    problem(node, key, "must be a list such as " + std::string(example) + ", not " + describe(node));
  } else if (node.items.size() > kLongestList) {
    problem(node, key,
            "has " + std::to_string(node.items.size()) + " items; at most " + std::to_string(kLongestList) +
                " are read (a folder or a pattern names many files at once)");
  } else {
    return true;
  }
  return false;
}

bool NodeReader::is_group(const YamlNode& node, const std::string& key) {
  if (node.kind == YamlNode::Kind::kNull) return true;
  if (node.kind == YamlNode::Kind::kMap) return true;
  const bool unsupported = node.kind == YamlNode::Kind::kUnsupported;
  problem(node, key, unsupported ? node.text : "must be a group of keys, not " + describe(node));
  return false;
}

void NodeReader::resolve(const Limits& limits, std::string& value) const {
  if (!limits.path || value.empty()) return;
  std::string path = (folder_ / value).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  value = path;
}

void NodeReader::problem(const YamlNode& node, const std::string& key, const std::string& text) {
  problems_.add(place(node), key, text);
}

Place NodeReader::place(const YamlNode& node) const {
  return override_ ? Place{source_} : Place{source_, node.line, node.column};
}

}  // namespace tercet::config
