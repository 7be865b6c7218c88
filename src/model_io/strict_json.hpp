// JSON of strangers: bounded nesting (the library's writer and destructor recurse) and no key twice in one object
// (the library would silently keep the last one).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tercet {

// Throws DataError naming `where`. The result is always an object.
nlohmann::json parse_json_object(std::string_view text, const std::string& where);

}  // namespace tercet
