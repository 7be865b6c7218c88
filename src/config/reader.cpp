#include "config/reader.hpp"

#include <algorithm>
#include <type_traits>

#include "config/suggest.hpp"

namespace tercet::config {
namespace {

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
  file_ = source;
  try {
    read_tree(source, folder, parse_yaml(text));
  } catch (const YamlSyntaxError& error) {
    problems_.add({source, error.line, error.column}, "", error.what());
  }
}

void Reader::read_tree(const std::string& source, const std::filesystem::path& folder, const YamlNode& tree) {
  source_ = file_ = source;
  folder_ = folder;
  override_ = false;
  read_section(tree, "");
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

void Reader::read_section(const YamlNode& node, const std::string& section) {
  if (!is_group(node, section)) return;
  for_each_member(node, section, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const std::string key = join_key(section, name);
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

void Reader::read_key(const Row<JobConfig>& row, const YamlNode& node) {
  const std::string key(row.key);
  if (override_) places_[key] = {source_};
  const bool unset = with_field(row, config_, [&](auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::vector<std::string>> || std::is_same_v<Value, std::vector<SourceConfig>> ||
                  std::is_same_v<Value, std::vector<TaskConfig>> || std::is_same_v<Value, std::vector<LayerFormat>>) {
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
      read_item(item, name, source);
    } else {
      read_value(item, name, limits, source.path);
    }
    if (source.path.empty() && !problems_.concerns(name)) problem(item, name, "needs a path");
  }
}

void Reader::read_list(const YamlNode& node, const std::string& key, const Limits&, std::vector<TaskConfig>& out) {
  if (!is_list(node, key, "[{name: hellaswag, path: val.jsonl}]")) return;
  out.clear();
  for (const YamlNode& item : node.items) {
    const std::string name = item_key(key, out.size());
    places_[name] = place(item);
    TaskConfig& task = out.emplace_back();
    if (item.kind != YamlNode::Kind::kMap) {
      problem(item, name, "must be {name: hellaswag, path: val.jsonl} or the like, not " + describe(item));
      continue;
    }
    read_item(item, name, task);
    if ((task.name.empty() || task.path.empty()) && !problems_.concerns(name)) {
      problem(item, name, task.name.empty() ? "needs the name of a task" : "needs a path");
    }
  }
}

void Reader::read_list(const YamlNode& node, const std::string& key, const Limits&, std::vector<LayerFormat>& out) {
  if (!is_list(node, key, "[int4, {role: down, format: int6}]")) return;
  out.clear();
  for (const YamlNode& item : node.items) {
    const std::string name = item_key(key, out.size());
    places_[name] = place(item);
    LayerFormat& format = out.emplace_back();
    if (item.kind == YamlNode::Kind::kMap) {
      read_item(item, name, format);
      if (item.items.empty()) problem(item, name, "is empty");
    } else {
      const auto row =
          std::find_if(layer_rows().begin(), layer_rows().end(), [](const auto& r) { return r.key == "format"; });
      read_value(item, name, row->limits, format.format);
    }
  }
}

template <class Item>
void Reader::read_item(const YamlNode& node, const std::string& key, Item& out) {
  const auto rows = rows_of(out);
  for_each_member(node, key, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&name](const Row<Item>& candidate) { return candidate.key == name; });
    if (row == rows.end()) {
      return problem(key_node, join_key(key, name), "unknown key" + suggest_item_key<Item>(name));
    }
    with_field(*row, out, [&](auto& field) {
      using Value = std::remove_cvref_t<decltype(field)>;
      if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string> ||
                    std::is_same_v<Value, std::optional<std::int64_t>>) {
        read_value(value, join_key(key, name), row->limits, field);
      }
    });
  });
}

}  // namespace tercet::config
