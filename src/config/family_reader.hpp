// Fills a FamilyConfig from a YAML tree. The parts that hold keys of a job (`defaults`, `settings`) are kept as trees
// and laid over each other by the job's own reader, once for each element.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/family_schema.hpp"
#include "config/node_reader.hpp"

namespace tercet::config {

class FamilyReader : public NodeReader {
 public:
  FamilyReader(FamilyConfig& family, Problems& problems) : NodeReader(problems), family_(family) {}

  void read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text);
  // The elements and their configurations, with the mistakes that only show in the combination.
  void expand();

 private:
  void read_section(const YamlNode& node, const std::string& section);
  void read_top_member(const std::string& name, const YamlNode& key_node, const YamlNode& value);
  template <class Item>
  void read_items(const std::string& key, const YamlNode& node, std::span<const Row<Item>> rows,
                  std::vector<Item>& items, std::vector<YamlNode>& settings);
  void read_settings(const YamlNode& node, const std::string& key, YamlNode& out);
  void refuse_own_keys(const YamlNode& settings);
  void check_names();
  void check_folders();
  FamilyElement element(std::size_t model, std::size_t target, Problems& problems);
  static std::vector<std::string> names_in(const std::string& section);

  FamilyConfig& family_;
  YamlNode defaults_;
  std::vector<YamlNode> model_settings_, target_settings_;  // as many as models and targets
};

}  // namespace tercet::config
