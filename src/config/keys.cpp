#include "tercet/config/keys.hpp"

#include <variant>

#include "config/schema.hpp"

namespace tercet {

std::vector<ConfigKey> config_keys() {
  std::vector<ConfigKey> keys;
  for (const auto& row : config::job_rows()) {
    ConfigKey key{std::string(row.key), {}, row.limits.path};
    if (std::holds_alternative<bool& (*)(JobConfig&)>(row.field)) key.choices = {"true", "false"};
    if (std::holds_alternative<std::string& (*)(JobConfig&)>(row.field)) {
      key.choices = config::split_choices(row.limits.choices);
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace tercet
