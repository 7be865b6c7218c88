// Fills a JobConfig from YAML trees by the schema table and notes every mistake with its place.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "config/document.hpp"
#include "config/problems.hpp"
#include "config/schema.hpp"

namespace tercet::config {

class Reader {
 public:
  Reader(JobConfig& config, Problems& problems) : config_(config), problems_(problems) {}

  void read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text);
  void read_override(const std::string& assignment);  // "a.b=c"; paths are relative to the current folder

  // Where a key was given, or the place to name for one that was not.
  Place place_of(const std::string& key) const;

 private:
  void read_section(const YamlNode& node, const std::string& section);
  void read_member(const YamlNode& key_node, const YamlNode& value, const std::string& section);
  void read_key(const Row<JobConfig>& row, const YamlNode& node);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<std::string>& out);
  void read_list(const YamlNode& node, const std::string& key, const Limits& limits, std::vector<SourceConfig>& out);
  void read_source(const YamlNode& node, const std::string& key, SourceConfig& out);
  template <class Value>
  void read_value(const YamlNode& node, const std::string& key, const Limits& limits, Value& out);
  bool is_list(const YamlNode& node, const std::string& key, const char* example);
  // Calls use(name, key node, value node) for each member of a map; refuses odd and repeated keys.
  template <class Use>
  void for_each_member(const YamlNode& map, const std::string& section, Use&& use);

  void resolve(const Limits& limits, std::string& value) const;
  void problem(const YamlNode& node, const std::string& key, const std::string& text);
  Place place(const YamlNode& node) const;

  JobConfig& config_;
  Problems& problems_;
  std::string source_;            // of what is being read
  std::string file_;              // of the first text
  std::filesystem::path folder_;  // that relative paths start from
  bool override_ = false;
  std::map<std::string, Place> places_;
};

}  // namespace tercet::config
