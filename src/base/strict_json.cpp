#include "tercet/base/strict_json.hpp"

#include <set>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

// Called by the parser for every event; keeps the keys of each open object.
class StrictEvents {
 public:
  StrictEvents(const std::string& where, const JsonRules& rules) : where_(where), rules_(rules) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    // What begins at this event is one level deeper than where it stands.
    const bool begins = event == Event::object_start || event == Event::array_start;
    if (depth + (begins ? 1 : 0) > rules_.deepest)
      refuse("it is nested deeper than " + std::to_string(rules_.deepest) + " levels");
    if (++values_ > kMostJsonValues) refuse("it has more than " + std::to_string(kMostJsonValues) + " values");
    if (!rules_.unique_keys) return true;
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end) open_.pop_back();
    if (event == Event::key && !open_.back().insert(value.get<std::string>()).second) {
      refuse("the key '" + value.get<std::string>() + "' appears twice in one object");
    }
    return true;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw DataError("'" + where_ + "' is not acceptable JSON", reason);
  }

  const std::string& where_;
  const JsonRules& rules_;
  std::vector<std::set<std::string>> open_;
  std::size_t values_ = 0;
};

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, const std::string& where, const JsonRules& rules) {
  StrictEvents events(where, rules);
  try {
    return nlohmann::json::parse(text.begin(), text.end(), [&events](int depth, auto event, nlohmann::json& value) {
      return events(depth, event, value);
    });
  } catch (const nlohmann::json::exception& error) {
    throw DataError("'" + where + "' is not valid JSON", error.what());
  }
}

nlohmann::json parse_json_object(std::string_view text, const std::string& where) {
  nlohmann::json object = parse_strict_json(text, where);
  if (!object.is_object()) throw DataError("'" + where + "' is not acceptable JSON", "its top is no object");
  return object;
}

std::int64_t json_integer(const nlohmann::json& value, const std::string& key, const std::string& where,
                          std::int64_t low, std::int64_t high) {
  const bool wraps = value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  if (value.is_number_integer() && !wraps) {
    if (const auto number = value.get<std::int64_t>(); number >= low && number <= high) return number;
  }
  throw DataError("'" + key + "' of '" + where + "' cannot be used",
                  "it is not an integer from " + std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace tercet
