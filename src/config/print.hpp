// Values as YAML that the strict reader reads back to the same value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tercet/config/job_config.hpp"

namespace tercet::config {

std::string print_number(double value);  // shortest text that reads back exactly; whole numbers without exponent

std::string print_value(bool value);
std::string print_value(std::int64_t value);
std::string print_value(double value);
std::string print_value(const std::string& value);  // in quotes where YAML would take it for something else
std::string print_value(const std::vector<std::string>& value);
std::string print_value(const std::vector<SourceConfig>& value);    // in flow form, all keys of each item
std::string print_value(const std::vector<TaskConfig>& value);      // the same
std::string print_value(const std::vector<LayerFormat>& value);     // what is set; a format alone as its name
std::string print_value(const std::optional<std::int64_t>& value);  // unset: "null"

}  // namespace tercet::config
