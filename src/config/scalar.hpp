// Strict scalars: what a person most likely meant is read, anything that YAML libraries guess at is refused.
// Each function returns what is wrong, or "" when `out` has been set.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/document.hpp"
#include "config/schema.hpp"

namespace tercet::config {

std::string read_scalar(const YamlNode& node, const Limits& limits, bool& out);
// Decimal digits, or scientific form with a whole value such as 2e6.
std::string read_scalar(const YamlNode& node, const Limits& limits, std::int64_t& out);
std::string read_scalar(const YamlNode& node, const Limits& limits, double& out);
std::string read_scalar(const YamlNode& node, const Limits& limits, std::string& out);
std::string read_scalar(const YamlNode& node, const Limits& limits, std::optional<std::int64_t>& out);  // null: unset

}  // namespace tercet::config
