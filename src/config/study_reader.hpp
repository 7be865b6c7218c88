// Fills a StudyConfig from a YAML tree. The parts that hold keys of a job are kept as trees and laid over each other by
// the job's own reader, once for each element.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "config/node_reader.hpp"
#include "config/study_schema.hpp"

namespace tercet::config {

class StudyReader : public NodeReader {
 public:
  StudyReader(StudyConfig& study, Problems& problems) : NodeReader(problems), study_(study) {}

  void read_text(const std::string& source, const std::filesystem::path& folder, const std::string& text);
  // "a.b=c" of the study, or kept for the elements.
  void read_override(const std::string& assignment);
  // After everything was read: the base, the control, the elements and the mistakes that only show in the combination.
  void expand();

 private:
  struct Setting {    // one key of a job that a row sets
    std::string key;  // "training.tokens"
    YamlNode tree;    // the same, nested
  };
  using Settings = std::vector<Setting>;

  void read_section(const YamlNode& node, const std::string& section);
  void read_member(const std::string& name, const YamlNode& key_node, const YamlNode& value);
  void read_seeds(const YamlNode& node);
  void read_rows(const YamlNode& node);
  void read_set(const YamlNode& node, const std::string& key, std::size_t row);
  void read_vary(const YamlNode& node);
  void add_combinations(const std::vector<std::pair<YamlNode, YamlNode>>& axes);
  void add_setting(std::size_t row, const YamlNode& key_node, const YamlNode& value);
  void refuse_own_key(const YamlNode& key_node);
  void check_rows();
  void check_overrides();
  void read_base();
  StudyElement element(std::size_t row, std::int64_t seed, Problems& problems) const;
  static std::vector<std::string> names_in(const std::string& section);

  StudyConfig& study_;
  YamlNode settings_, base_;
  std::vector<Settings> row_settings_;      // as many as rows
  std::vector<std::string> job_overrides_;  // "a.b=c"
  bool has_rows_ = false, has_vary_ = false;
};

}  // namespace tercet::config
