// JSON knows no NaN and no infinity; measured values do. They travel as the words "nan", "inf" and "-inf".
#pragma once

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace tercet {

inline nlohmann::json number_to_json(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

// Throws nlohmann::json::type_error for anything that is neither a number nor one of the three words.
inline double number_from_json(const nlohmann::json& value) {
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return value.get<double>();
}

}  // namespace tercet
