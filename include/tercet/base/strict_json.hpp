// JSON of strangers, within bounds. The library's copy, writer and comparison recurse, so nesting is limited; a value
// takes up to a hundred bytes for the two that it has in a file, so their number is; and the library would silently
// keep the last of two equal keys.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tercet {

struct JsonRules {
  int deepest = 32;
  bool unique_keys = true;
};
inline constexpr std::size_t kMostJsonValues =
    8'000'000;  // the largest vocabularies with their merges have one million

// Both throw DataError naming `where`.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where, const JsonRules& rules = {});
nlohmann::json parse_json_object(std::string_view text, const std::string& where);  // the top is an object

// The library converts 1e300 or -1 to an integer without a word. Throws DataError naming `where` and `key` unless it is
// an integer from `low` to `high`.
std::int64_t json_integer(const nlohmann::json& value, const std::string& key, const std::string& where,
                          std::int64_t low = INT64_MIN, std::int64_t high = INT64_MAX);

}  // namespace tercet
