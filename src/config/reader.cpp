#include "config/reader.hpp"

#include <algorithm>
#include <type_traits>

#include "config/scalar.hpp"
#include "config/suggest.hpp"

namespace tercet::config {
namespace {

constexpr std::size_t kLongestList = 4096;

std::string join(const std::string& section, const std::string& name) {
  return section.empty() ? name : section + "." + name;
}

std::string item_key(const std::string& key, std::size_t index) {
  return key + "[" + std::to_string(index) + "]";
}

// A YAML tree of the text after "=". Text for a key that holds one text is taken as it stands, so that a path with
// YAML's special characters needs no quotes.
YamlNode parse_override_value(const std::string& key, const std::string& text) {
  const Row<JobConfig>* row = find_row(key);
  const bool one_text = row != nullptr && std::holds_alternative<std::string& (*)(JobConfig&)>(row->field);
  if (!one_text || text.starts_with('"') || text.starts_with('\'')) return parse_yaml(text);
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.text = text;
  return node;
}

}  // namespace

void Reader::read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text) {
  source_ = file_ = source;
  folder_ = folder;
  override_ = false;
  try {
    const YamlNode root = parse_yaml(text);
    if (root.kind != YamlNode::Kind::kNull) read_section(root, "");
  } catch (const YamlSyntaxError& error) {
    problems_.add({source_, error.line, error.column}, "", error.what());
  }
}

void Reader::read_override(const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string key = assignment.substr(0, equals);
  source_ = "--set " + key;
  folder_ = std::filesystem::current_path();
  override_ = true;
  if (equals == std::string::npos || key.empty()) {
    problems_.add({source_}, "", "is not of the form a.b=c");
    return;
  }
  try {
    const YamlNode value = parse_override_value(key, assignment.substr(equals + 1));
    if (is_section(key)) {
      read_section(value, key);
    } else if (const Row<JobConfig>* row = find_row(key)) {
      read_key(*row, value);
    } else {
      const std::size_t dot = key.rfind('.');
      const std::string section = dot == std::string::npos ? "" : key.substr(0, dot);
      problems_.add({source_}, key, "unknown key" + suggest_key(section, key.substr(dot + 1)));
    }
  } catch (const YamlSyntaxError& error) {
    problems_.add({source_}, key, error.what());
  }
}

Place Reader::place_of(const std::string& key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? Place{file_} : found->second;
}

void Reader::read_section(const YamlNode& node, const std::string& section) {
  if (node.kind == YamlNode::Kind::kNull) return;  // a heading whose keys are all commented out
  if (node.kind == YamlNode::Kind::kUnsupported) return problem(node, section, node.text);
  if (node.kind != YamlNode::Kind::kMap) {
    return problem(node, section, "must be a group of keys, not " + describe(node));
  }
  for_each_member(node, section, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const std::string key = join(section, name);
    const Row<JobConfig>* row = name.find('.') == std::string::npos ? find_row(key) : nullptr;
    if (row != nullptr) {
      places_[key] = place(key_node);
      read_key(*row, value);
    } else if (name.find('.') == std::string::npos && is_section(key)) {
      read_section(value, key);
    } else if (find_row(key) != nullptr) {
      problem(key_node, key, "must be written nested, each part on its own line, not with dots");
    } else {
      problem(key_node, key, "unknown key" + suggest_key(section, name));
    }
  });
}

template <class Use>
void Reader::for_each_member(const YamlNode& map, const std::string& section, Use&& use) {
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
      problem(key_node, join(section, key_node.text), "given twice" + line);
    }
    use(key_node.text, key_node, map.items[i + 1]);
  }
}

void Reader::read_key(const Row<JobConfig>& row, const YamlNode& node) {
  const std::string key(row.key);
  if (override_) places_[key] = {source_};
  const bool unset = with_field(row, config_, [&](auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::vector<std::string>> || std::is_same_v<Value, std::vector<SourceConfig>>) {
      read_list(node, key, row.limits, value);
      return false;
    } else {
      read_value(node, key, row.limits, value);
      return std::is_same_v<Value, std::optional<std::int64_t>> && node.kind == YamlNode::Kind::kNull;
    }
  });
  std::erase(config_.written, key);
  if (!unset) config_.written.push_back(key);
}

template <class Value>
void Reader::read_value(const YamlNode& node, const std::string& key, const Limits& limits, Value& out) {
  if (node.kind == YamlNode::Kind::kUnsupported) return problem(node, key, node.text);
  const bool may_be_empty = std::is_same_v<Value, std::optional<std::int64_t>>;
  if (node.kind == YamlNode::Kind::kNull && !may_be_empty) {
    return problem(node, key, "has no value; give one or leave the key out");
  }
  const std::string wrong = read_scalar(node, limits, out);
  if (!wrong.empty()) return problem(node, key, wrong);
  if constexpr (std::is_same_v<Value, std::string>) resolve(limits, out);
}

// Also refuses a list longer than any real one, which bounds the work of the checks on its items.
bool Reader::is_list(const YamlNode& node, const std::string& key, const char* example) {
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

void Reader::read_list(const YamlNode& node, const std::string& key, const Limits& limits,
                       std::vector<std::string>& out) {
  if (!is_list(node, key, "[a, b]")) return;
  out.clear();
  for (const YamlNode& item : node.items) {
    const std::string name = item_key(key, out.size());
    places_[name] = place(item);
    read_value(item, name, limits, out.emplace_back());
    if (item.kind == YamlNode::Kind::kScalar && item.text.empty()) problem(item, name, "is empty");
  }
}

void Reader::read_list(const YamlNode& node, const std::string& key, const Limits& limits,
                       std::vector<SourceConfig>& out) {
  if (!is_list(node, key, "[a.txt, {path: b.jsonl, weight: 2}]")) return;
  out.clear();
  for (const YamlNode& item : node.items) {
    const std::string name = item_key(key, out.size());
    places_[name] = place(item);
    SourceConfig& source = out.emplace_back();
    if (item.kind == YamlNode::Kind::kMap) {
      read_source(item, name, source);
    } else {
      read_value(item, name, limits, source.path);
    }
    if (source.path.empty() && !problems_.concerns(name)) problem(item, name, "needs a path");
  }
}

void Reader::read_source(const YamlNode& node, const std::string& key, SourceConfig& out) {
  for_each_member(node, key, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const auto row = std::find_if(source_rows().begin(), source_rows().end(),
                                  [&name](const Row<SourceConfig>& candidate) { return candidate.key == name; });
    if (row == source_rows().end()) {
      return problem(key_node, join(key, name), "unknown key" + suggest_source_key(name));
    }
    with_field(*row, out, [&](auto& field) {
      using Value = std::remove_cvref_t<decltype(field)>;
      if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string>) {
        read_value(value, join(key, name), row->limits, field);
      }
    });
  });
}

void Reader::resolve(const Limits& limits, std::string& value) const {
  if (!limits.path || value.empty()) return;
  std::string path = (folder_ / value).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  value = path;
}

void Reader::problem(const YamlNode& node, const std::string& key, const std::string& text) {
  problems_.add(place(node), key, text);
}

Place Reader::place(const YamlNode& node) const {
  return override_ ? Place{source_} : Place{source_, node.line, node.column};
}

}  // namespace tercet::config
