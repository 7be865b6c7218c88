#include "config/family_reader.hpp"

#include <algorithm>
#include <set>

#include "config/element_rows.hpp"
#include "config/reader.hpp"
#include "config/relations.hpp"
#include "config/suggest.hpp"

namespace tercet::config {
void FamilyReader::read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text) {
  source_ = file_ = source;
  folder_ = folder;
  try {
    read_section(parse_yaml(text), "");
  } catch (const YamlSyntaxError& error) {
    return problems_.add({source_, error.line, error.column}, "", error.what());
  }
  check_names();
  check_folders();
}

void FamilyReader::read_section(const YamlNode& node, const std::string& section) {
  if (!is_group(node, section)) return;
  for_each_member(node, section, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const std::string key = join_key(section, name);
    if (const Row<FamilyConfig>* row = find_row(family_rows(), key); row != nullptr && name.find('.') == name.npos) {
      places_[key] = place(key_node);
      read_row(*row, family_, value);
    } else if (lists(family_sections(), key) && name.find('.') == name.npos) {
      read_section(value, key);
    } else if (section.empty() && (name == "defaults" || name == "models" || name == "targets")) {
      places_[key] = place(key_node);
      read_top_member(name, key_node, value);
    } else {
      problem(key_node, key, "unknown key" + suggest_among(key, names_in(section)));
    }
  });
}

void FamilyReader::read_top_member(const std::string& name, const YamlNode& key_node, const YamlNode& value) {
  if (name == "defaults") return read_settings(value, name, defaults_);
  if (value.kind == YamlNode::Kind::kNull) return problem(key_node, name, "has no value; give a list");
  if (name == "models") return read_items(name, value, family_model_rows(), family_.models, model_settings_);
  read_items(name, value, family_target_rows(), family_.targets, target_settings_);
}

template <class Item>
void FamilyReader::read_items(const std::string& key, const YamlNode& node, std::span<const Row<Item>> rows,
                              std::vector<Item>& items, std::vector<YamlNode>& settings) {
  if (!is_list(node, key, "[{name: a, settings: {seed: 1}}]")) return;
  items.clear();
  settings.clear();
  std::vector<std::string> names = {"settings"};
  for (const Row<Item>& row : rows) names.emplace_back(row.key);
  for (const YamlNode& item_node : node.items) {
    const std::string item = item_key(key, items.size());
    places_[item] = place(item_node);
    Item& out = items.emplace_back();
    YamlNode& tree = settings.emplace_back();
    if (!is_group(item_node, item)) continue;
    for_each_member(item_node, item, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
      const Row<Item>* row = find_row(rows, name);
      if (name == "settings") return read_settings(value, item + ".settings", tree);
      if (row == nullptr) return problem(key_node, join_key(item, name), "unknown key" + suggest_among(name, names));
      with_field(*row, out, [&](auto& field) {
        using Value = std::remove_cvref_t<decltype(field)>;
        if constexpr (std::is_same_v<Value, std::string> || std::is_same_v<Value, std::optional<std::int64_t>>) {
          read_value(value, join_key(item, name), row->limits, field);
        }
      });
    });
  }
}

// Read here once for its own mistakes, so that those are not repeated for each element.
void FamilyReader::read_settings(const YamlNode& node, const std::string& key, YamlNode& out) {
  if (!is_group(node, key)) return;
  JobConfig alone;
  Reader(alone, problems_).read_tree(source_, folder_, node);
  refuse_own_keys(node);
  out = node;
}

// What the family itself decides for each element.
void FamilyReader::refuse_own_keys(const YamlNode& settings) {
  for (std::size_t i = 0; i + 1 < settings.items.size(); i += 2) {
    const YamlNode& key = settings.items[i];
    if (key.text == "name" || key.text == "output") {
      problem(key, key.text, "is given to each element by the family");
    } else if (key.text == "pretrain") {
      problem(key, key.text, "does not concern a family, which compresses models that exist");
    } else if (key.text == "model") {
      const auto& members = settings.items[i + 1].items;
      for (std::size_t m = 0; m + 1 < members.size(); m += 2) {
        if (members[m].text == "path") problem(members[m], "model.path", "is the `path` of an item of models");
      }
    }
  }
}

void FamilyReader::check_names() {
  if (family_.output.empty() && !problems_.concerns("output")) {
    problems_.add({file_}, "output", "is needed here and not given: the folder of runs, nights and published models");
  }
  const auto check = [&](const std::string& list, const auto& items) {
    if (items.empty() && !problems_.concerns(list)) problems_.add({file_}, list, "must list at least one item");
    std::set<std::string> seen;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string key = item_key(list, i);
      if (problems_.concerns(key)) continue;
      const std::string& name = items[i].name;
      if (name.empty()) {
        problems_.add(place_of(key), key, "needs a name");
      } else if (!is_plain_name(name)) {
        problems_.add(place_of(key), key + ".name",
                      "must be letters, digits, '.', '_' and '-', as a folder is named so; not '" + name + "'");
      } else if (!seen.insert(name).second) {
        problems_.add(place_of(key), key + ".name", "is given twice: '" + name + "'");
      }
    }
  };
  check("models", family_.models);
  check("targets", family_.targets);
}

void FamilyReader::check_folders() {
  for (std::size_t i = 0; i < family_.models.size(); ++i) {
    const std::string key = item_key("models", i);
    const std::string& path = family_.models[i].path;
    if (path.empty()) {
      if (!problems_.concerns(key)) problems_.add(place_of(key), key, "needs a path");
      continue;
    }
    const auto inside = std::filesystem::path(family_.output).lexically_relative(path);
    if (family_.output.empty() || inside.empty() || *inside.begin() == "..") continue;
    problems_.add(place_of("output"), "output",
                  "must not be the folder of model '" + family_.models[i].name +
                      "' or lie inside it: the original is never written to");
  }
}

FamilyElement FamilyReader::element(std::size_t model, std::size_t target, Problems& problems) {
  const FamilyModel& source = family_.models[model];
  FamilyElement element;
  element.model = source.name;
  element.target = family_.targets[target].name;
  element.name = element.model + "-" + element.target;
  element.ranks = source.ranks.value_or(family_.packing.ranks);
  element.cpus = source.cpus.value_or(family_.packing.cpus);
  element.gpus = source.gpus.value_or(family_.packing.gpus);
  JobConfig& config = element.config;
  Reader reader(config, problems);
  for (const YamlNode* layer : {&defaults_, &model_settings_[model], &target_settings_[target]}) {
    reader.read_tree(source_, folder_, *layer);
  }
  config.name = element.name;
  config.model.path = source.path;
  if (config.data.cache.empty()) config.data.cache = family_.output + "/tokens";
  check_relations(config, reader, problems);
  return element;
}

void FamilyReader::expand() {
  if (!problems_.empty()) return;
  if (family_.models.size() * family_.targets.size() > kMostElements) {
    return problems_.add(place_of("models"), "models",
                         "times targets makes more than " + std::to_string(kMostElements) + " elements");
  }
  std::set<std::string> names;
  for (std::size_t model = 0; model < family_.models.size(); ++model) {
    for (std::size_t target = 0; target < family_.targets.size(); ++target) {
      Problems found;
      FamilyElement next = element(model, target, found);
      problems_.add_new(found, "in element " + next.name);
      if (!names.insert(next.name).second) {
        problems_.add(place_of(item_key("targets", target)), item_key("targets", target) + ".name",
                      "makes a second element '" + next.name + "'");
      }
      family_.elements.push_back(std::move(next));
    }
  }
}

std::vector<std::string> FamilyReader::names_in(const std::string& section) {
  std::vector<std::string> names;
  if (section.empty()) names = {"defaults", "models", "targets"};
  for (const SectionRow& row : family_sections()) names.emplace_back(row.key);
  for (const auto& row : family_rows()) names.emplace_back(row.key);
  return names;
}

}  // namespace tercet::config

namespace tercet {

FamilyConfig load_family_config(const std::filesystem::path& file) {
  FamilyConfig family;
  config::Problems problems;
  config::FamilyReader reader(family, problems);
  reader.read_text(file.string(), std::filesystem::absolute(file).parent_path(), config::read_config_text(file));
  reader.expand();
  problems.throw_if_any();
  return family;
}

}  // namespace tercet
