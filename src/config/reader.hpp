// Fills a JobConfig from YAML trees by the schema table and notes every mistake with its place.
#pragma once

#include <filesystem>
#include <string>

#include "config/node_reader.hpp"

namespace tercet::config {

class Reader : public NodeReader {
 public:
  Reader(JobConfig& config, Problems& problems) : NodeReader(problems), config_(config) {}

  void read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text);
  // A part of a file that has been parsed: keys of a job, laid over what was read before.
  void read_tree(const std::string& source, const std::filesystem::path& folder, const YamlNode& tree);
  void read_override(const std::string& assignment);  // "a.b=c"; paths are relative to the current folder

 private:
  void read_section(const YamlNode& node, const std::string& section);
  void read_key(const Row<JobConfig>& row, const YamlNode& node);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<std::string>& out);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<SourceConfig>& out);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<TaskConfig>& out);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<LayerFormat>& out);
  template <class Item>
  void read_item(const YamlNode& node, const std::string& key, Item& out);  // a map by the item's rows

  JobConfig& config_;
};

}  // namespace tercet::config
