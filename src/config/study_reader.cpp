#include "config/study_reader.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "config/element_rows.hpp"
#include "config/reader.hpp"
#include "config/relations.hpp"
#include "config/suggest.hpp"

namespace tercet::config {
namespace {

constexpr const char* kControl = "control";

// "a.b.c" with a value as {a: {b: {c: value}}}, every part where the key stands.
YamlNode nested(const YamlNode& key_node, const YamlNode& value) {
  YamlNode tree = value;
  for (std::string rest = key_node.text; !rest.empty();) {
    const std::size_t dot = rest.rfind('.');
    YamlNode key = key_node, map = key_node;
    key.text = dot == std::string::npos ? rest : rest.substr(dot + 1);
    map.kind = YamlNode::Kind::kMap;
    map.items = {key, tree};
    tree = map;
    rest.erase(dot == std::string::npos ? 0 : dot);
  }
  return tree;
}

// As it could be written on one line.
std::string flow_text(const YamlNode& node) {
  using Kind = YamlNode::Kind;
  if (node.kind == Kind::kNull) return "null";
  if (node.kind != Kind::kList && node.kind != Kind::kMap) return node.text;
  const bool map = node.kind == Kind::kMap;
  std::string text;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (i > 0) text += map && i % 2 == 1 ? ": " : ", ";
    text += flow_text(node.items[i]);
  }
  return map ? "{" + text + "}" : "[" + text + "]";
}

// What can stand in a folder's name.
std::string plain(std::string text) {
  for (char& c : text) {
    if (!is_plain_name(std::string("a") + c)) c = '-';
  }
  return text;
}

// The last part of a dotted key, or all of it where another of the keys ends in the same.
std::string short_key(const std::string& key, const std::vector<std::pair<YamlNode, YamlNode>>& axes) {
  const auto last = [](const std::string& text) { return text.substr(text.rfind('.') + 1); };
  const auto same =
      std::count_if(axes.begin(), axes.end(), [&](const auto& axis) { return last(axis.first.text) == last(key); });
  return same > 1 ? key : last(key);
}

}  // namespace

void StudyReader::read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text) {
  source_ = file_ = source;
  folder_ = folder;
  try {
    read_section(parse_yaml(text), "");
  } catch (const YamlSyntaxError& error) {
    problems_.add({source_, error.line, error.column}, "", error.what());
  }
}

void StudyReader::read_override(const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string key = assignment.substr(0, equals);
  const Row<StudyConfig>* row = find_row(study_rows(), key);
  if (equals == std::string::npos || (row == nullptr && key != "seeds")) {
    job_overrides_.push_back(assignment);
    return;
  }
  const std::string file = std::exchange(source_, "--set " + key);
  const std::filesystem::path folder = std::exchange(folder_, std::filesystem::current_path());
  override_ = true;
  try {
    const std::string text = assignment.substr(equals + 1);
    YamlNode node;
    if (row != nullptr && std::holds_alternative<std::string& (*)(StudyConfig&)>(row->field)) {
      node.kind = YamlNode::Kind::kScalar;  // as it stands: a path may have YAML's special characters
      node.text = text;
    } else {
      node = parse_yaml(text);
    }
    row != nullptr ? read_row(*row, study_, node) : read_seeds(node);
  } catch (const YamlSyntaxError& error) {
    problems_.add({source_}, key, error.what());
  }
  override_ = false;
  source_ = file;
  folder_ = folder;
}

void StudyReader::read_section(const YamlNode& node, const std::string& section) {
  if (!is_group(node, section)) return;
  for_each_member(node, section, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const std::string key = join_key(section, name);
    const bool whole = name.find('.') == name.npos;
    if (const Row<StudyConfig>* row = find_row(study_rows(), key); row != nullptr && whole) {
      places_[key] = place(key_node);
      read_row(*row, study_, value);
    } else if (lists(study_sections(), key) && whole) {
      read_section(value, key);
    } else if (section.empty() && lists(study_settings(), name)) {
      places_[key] = place(key_node);
      read_member(name, key_node, value);
    } else {
      problem(key_node, key, "unknown key" + suggest_among(key, names_in(section)));
    }
  });
}

void StudyReader::read_member(const std::string& name, const YamlNode& key_node, const YamlNode& value) {
  if (value.kind == YamlNode::Kind::kNull) return problem(key_node, name, "has no value; give one or leave it out");
  if (name == "seeds") return read_seeds(value);
  if (name == "rows") return read_rows(value);
  if (name == "vary") return read_vary(value);
  if (!is_group(value, name)) return;
  for (std::size_t i = 0; i + 1 < value.items.size(); i += 2) refuse_own_key(value.items[i]);
  settings_ = value;
}

void StudyReader::read_seeds(const YamlNode& node) {
  if (!is_list(node, "seeds", "[1, 2, 3]")) return;
  study_.seeds.clear();
  for (const YamlNode& item : node.items) {
    const std::string key = item_key("seeds", study_.seeds.size());
    std::int64_t seed = 0;
    read_value(item, key, {.low = 0}, seed);
    const bool known = std::find(study_.seeds.begin(), study_.seeds.end(), seed) != study_.seeds.end();
    if (known && !problems_.concerns(key)) problem(item, key, "is given twice");
    study_.seeds.push_back(seed);
  }
  if (node.items.empty()) problem(node, "seeds", "must list at least one seed");
}

void StudyReader::read_rows(const YamlNode& node) {
  has_rows_ = true;
  if (!is_list(node, "rows", "[{name: a, set: {training.tokens: 1e6}}]")) return;
  for (const YamlNode& item : node.items) {
    const std::size_t index = study_.rows.size();
    const std::string key = item_key("rows", index);
    places_[key] = place(item);
    study_.rows.emplace_back();
    row_settings_.emplace_back();
    if (!is_group(item, key)) continue;
    for_each_member(item, key, [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
      if (name == "name") return read_value(value, join_key(key, name), {}, study_.rows[index].name);
      if (name == "set") return read_set(value, join_key(key, name), index);
      problem(key_node, join_key(key, name), "unknown key" + suggest_among(name, {"name", "set"}));
    });
  }
}

void StudyReader::read_set(const YamlNode& node, const std::string& key, std::size_t row) {
  if (!is_group(node, key)) return;
  for_each_member(node, key, [&](const std::string&, const YamlNode& key_node, const YamlNode& value) {
    add_setting(row, key_node, value);
  });
}

void StudyReader::read_vary(const YamlNode& node) {
  has_vary_ = true;
  if (!is_group(node, "vary")) return;
  std::vector<std::pair<YamlNode, YamlNode>> axes;
  std::size_t combinations = 1;
  for_each_member(node, "vary", [&](const std::string& name, const YamlNode& key_node, const YamlNode& value) {
    const std::string key = join_key("vary", name);
    if (!is_list(value, key, "[3e-4, 1e-3]")) return;
    const auto nameless = std::find_if(value.items.begin(), value.items.end(), [](const YamlNode& item) {
      return item.kind != YamlNode::Kind::kScalar || item.text.empty();
    });
    if (nameless != value.items.end()) {
      return problem(*nameless, key, "must list plain values, which rows are named for; give `rows` for others");
    }
    combinations = std::min(kMostElements + 1, combinations * value.items.size());
    axes.emplace_back(key_node, value);
  });
  if (combinations == 0 || combinations > kMostElements) {
    return problem(node, "vary", combinations == 0 ? "has a key without values" : "makes too many rows");
  }
  if (!axes.empty()) add_combinations(axes);
}

// The last key varies fastest.
void StudyReader::add_combinations(const std::vector<std::pair<YamlNode, YamlNode>>& axes) {
  std::vector<std::size_t> at(axes.size(), 0);
  while (true) {
    const std::size_t row = study_.rows.size();
    places_[item_key("rows", row)] = place(axes[0].first);
    study_.rows.emplace_back();
    row_settings_.emplace_back();
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
      const auto& [key_node, values] = axes[axis];
      const YamlNode& value = values.items[at[axis]];
      std::string& name = study_.rows[row].name;
      name += (name.empty() ? "" : "_") + plain(short_key(key_node.text, axes) + "-" + value.text);
      add_setting(row, key_node, value);
    }
    std::size_t axis = axes.size();
    while (axis > 0 && ++at[axis - 1] == axes[axis - 1].second.items.size()) at[--axis] = 0;
    if (axis == 0) return;
  }
}

void StudyReader::add_setting(std::size_t row, const YamlNode& key_node, const YamlNode& value) {
  refuse_own_key(key_node);
  study_.rows[row].settings.emplace_back(key_node.text, flow_text(value));
  row_settings_[row].push_back({key_node.text, nested(key_node, value)});
}

// What the study itself decides for each element.
void StudyReader::refuse_own_key(const YamlNode& key_node) {
  const std::string first = key_node.text.substr(0, key_node.text.find('.'));
  if (first == "name" || first == "output" || first == "seed") {
    problem(key_node, key_node.text, "is given to each element by the study");
  } else if (first == "pretrain") {
    problem(key_node, key_node.text, "does not concern a study, which compresses models that exist");
  }
}

void StudyReader::check_rows() {
  if (study_.output.empty() && !problems_.concerns("output")) {
    problems_.add({file_}, "output", "is needed here and not given: the folder of runs, tables and plots");
  }
  if (has_rows_ && has_vary_) {
    problems_.add(place_of("vary"), "vary", "and rows are two ways to say the same; give one of them");
  }
  if (study_.rows.empty() && !problems_.concerns("rows") && !problems_.concerns("vary")) {
    problems_.add(place_of("rows"), "rows", "must list at least one row");
  }
  std::set<std::string> seen;
  if (study_.control) seen.insert(kControl);
  for (std::size_t row = 0; row < study_.rows.size(); ++row) {
    const std::string key = item_key("rows", row), &name = study_.rows[row].name;
    if (problems_.concerns(key)) continue;
    if (name.empty()) {
      problems_.add(place_of(key), key, "needs a name");
    } else if (!is_plain_name(name)) {
      problems_.add(place_of(key), key + ".name",
                    "must be letters, digits, '.', '_' and '-', as a folder is named so; not '" + name + "'");
    } else if (!seen.insert(name).second) {
      problems_.add(
          place_of(key), key + ".name",
          name == kControl ? "is that of the control (control: false makes none)" : "is given twice: '" + name + "'");
    }
  }
}

// A row that says otherwise would silently win over the command line.
void StudyReader::check_overrides() {
  for (const std::string& assignment : job_overrides_) {
    const std::string key = assignment.substr(0, assignment.find('='));
    const auto overlaps = [&](const Setting& setting) {
      return setting.key == key || setting.key.starts_with(key + ".") || key.starts_with(setting.key + ".");
    };
    for (std::size_t row = 0; row < row_settings_.size(); ++row) {
      if (std::none_of(row_settings_[row].begin(), row_settings_[row].end(), overlaps)) continue;
      problems_.add({"--set " + key}, key, "is what row '" + study_.rows[row].name + "' sets itself");
      break;
    }
  }
}

void StudyReader::read_base() {
  if (study_.base.empty()) return;
  try {
    base_ = parse_yaml(read_config_text(study_.base));
  } catch (const YamlSyntaxError& error) {
    problems_.add({study_.base, error.line, error.column}, "", error.what());
  }
}

StudyElement StudyReader::element(std::size_t row, std::int64_t seed, Problems& problems) const {
  StudyElement element;
  element.row = row;
  element.name = study_.rows[row].name + "-s" + std::to_string(seed);
  element.ranks = study_.packing.ranks;
  element.cpus = study_.packing.cpus;
  element.gpus = study_.packing.gpus;
  JobConfig& config = element.config;
  Reader reader(config, problems);
  if (!study_.base.empty()) reader.read_tree(study_.base, std::filesystem::path(study_.base).parent_path(), base_);
  reader.read_tree(source_, folder_, settings_);
  for (const std::string& assignment : job_overrides_) reader.read_override(assignment);
  for (const Setting& setting : row_settings_[row]) reader.read_tree(source_, folder_, setting.tree);
  config.name = element.name;
  config.seed = seed;
  config.output = study_.output + "/runs/" + element.name;
  if (config.data.cache.empty()) config.data.cache = study_.output + "/tokens";
  if (config.model.path.empty()) problems.add({file_}, "model.path", "is needed and not given");
  if (config.data.sources.empty()) problems.add({file_}, "data.sources", "is needed and not given");
  if (study_.rows[row].is_control) config = full_precision(std::move(config));
  check_relations(config, reader, problems);
  return element;
}

void StudyReader::expand() {
  check_rows();
  check_overrides();
  read_base();
  if (!problems_.empty()) return;
  if (study_.control) {
    study_.rows.push_back({kControl, true, {}});
    row_settings_.emplace_back();
  }
  if (study_.rows.size() * study_.seeds.size() > kMostElements) {
    return problems_.add({file_}, "rows", "times seeds makes more than " + std::to_string(kMostElements) + " jobs");
  }
  for (const std::int64_t seed : study_.seeds) {
    for (std::size_t row = 0; row < study_.rows.size(); ++row) {
      Problems found;
      study_.elements.push_back(element(row, seed, found));
      problems_.add_new(found, "in row " + study_.rows[row].name);
    }
  }
}

std::vector<std::string> StudyReader::names_in(const std::string& section) {
  std::vector<std::string> names;
  if (section.empty()) {
    for (const SectionRow& row : study_settings()) names.emplace_back(row.key);
  }
  for (const SectionRow& row : study_sections()) names.emplace_back(row.key);
  for (const auto& row : study_rows()) names.emplace_back(row.key);
  return names;
}

}  // namespace tercet::config

namespace tercet {

StudyConfig load_study_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  StudyConfig study;
  config::Problems problems;
  config::StudyReader reader(study, problems);
  reader.read_text(file.string(), std::filesystem::absolute(file).parent_path(), config::read_config_text(file));
  for (const std::string& assignment : overrides) reader.read_override(assignment);
  reader.expand();
  problems.throw_if_any();
  return study;
}

JobConfig full_precision(JobConfig base) {
  base.quantization = {};
  base.quantization.format = "float16";
  base.quantization.embedding_bits = base.quantization.head_bits = "16";
  base.quantization.activation_bits = 16;
  base.target = {};
  base.blockwise.enabled = false;
  base.training.softening = 0;
  base.training.polish_tokens = 0;
  base.exports.formats.clear();
  base.gates.compression.severity = base.gates.sparsity.severity = base.gates.speedup.severity = "off";
  return base;
}

}  // namespace tercet
