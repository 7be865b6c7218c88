#include "strict_json.hpp"

#include <set>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

constexpr int kMaxNesting = 32;

// Called by the parser for every event; keeps the keys of each open object.
class StrictEvents {
 public:
  explicit StrictEvents(const std::string& where) : where_(where) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > kMaxNesting) {
      throw DataError("'" + where_ + "' is not acceptable JSON",
                      "it is nested deeper than " + std::to_string(kMaxNesting) + " levels");
    }
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end) open_.pop_back();
    if (event == Event::key && !open_.back().insert(value.get<std::string>()).second) {
      throw DataError("'" + where_ + "' is not acceptable JSON",
                      "the key '" + value.get<std::string>() + "' appears twice in one object");
    }
    return true;
  }

 private:
  const std::string& where_;
  std::vector<std::set<std::string>> open_;
};

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const std::string& where) {
  StrictEvents events(where);
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text.begin(), text.end(), [&events](int depth, auto event, nlohmann::json& value) {
      return events(depth, event, value);
    });
  } catch (const nlohmann::json::exception& error) {
    throw DataError("'" + where + "' is not valid JSON", error.what());
  }
  if (!object.is_object()) throw DataError("'" + where + "' is not acceptable JSON", "its top is no object");
  return object;
}

}  // namespace tercet
