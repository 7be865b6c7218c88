#include <algorithm>

#include "config/problems.hpp"
#include "config/reader.hpp"
#include "config/relations.hpp"
#include "config/suggest.hpp"
#include "tercet/base/error.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet {
namespace {

bool is_empty(const std::string& value) {
  return value.empty();
}
template <class Item>
bool is_empty(const std::vector<Item>& value) {
  return value.empty();
}
template <class Value>
bool is_empty(const Value&) {
  return false;
}

}  // namespace

JobConfig load_job_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  JobConfig config;
  config::Problems problems;
  config::Reader reader(config, problems);
  reader.read_text(file.string(), std::filesystem::absolute(file).parent_path(), config::read_config_text(file));
  for (const std::string& assignment : overrides) reader.read_override(assignment);
  config::check_relations(config, reader, problems);
  problems.throw_if_any();
  return config;
}

void require_keys(const JobConfig& job, const std::vector<std::string>& keys) {
  config::Problems problems;
  for (const std::string& key : keys) {
    const config::Row<JobConfig>* row = config::find_row(key);
    if (row == nullptr) throw ConfigError("'" + key + "' is not a key of the configuration");
    if (!config::with_field(*row, job, [](const auto& value) { return is_empty(value); })) continue;
    problems.add({"configuration"}, key, "is needed here and not given: " + std::string(row->sentence));
  }
  problems.throw_if_any();
}

}  // namespace tercet
