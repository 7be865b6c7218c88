#include "tercet/base/strict_json.hpp"

#include <utility>
#include <vector>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

// Builds the value while the parser reads it. The library's own builder that can be asked at every event looks through
// a whole array at the end of each object in it: a hundred thousand of them would take seconds, ten times as many
// minutes.
class StrictBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  StrictBuilder(const std::string& where, const JsonRules& rules) : where_(where), rules_(rules) {}

  nlohmann::json take() { return std::move(top_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t& value) override { return put(std::move(value)); }

  bool start_object(std::size_t) override { return begin(nlohmann::json::object()); }
  bool start_array(std::size_t) override { return begin(nlohmann::json::array()); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    count();
    nlohmann::json& object = *open_.back();
    if (rules_.unique_keys && object.contains(name)) refuse("the key '" + name + "' appears twice in one object");
    member_ = &object[name];
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    throw DataError("'" + where_ + "' is not valid JSON", error.what());
  }

 private:
  bool put(nlohmann::json value) {
    count();
    place() = std::move(value);
    return true;
  }

  bool begin(nlohmann::json empty) {
    if (static_cast<int>(open_.size()) >= rules_.deepest)
      refuse("it is nested deeper than " + std::to_string(rules_.deepest) + " levels");
    count();
    nlohmann::json& here = place();
    here = std::move(empty);
    open_.push_back(&here);
    return true;
  }

  bool end() {
    count();
    open_.pop_back();
    return true;
  }

  // Where the next value goes.
  nlohmann::json& place() {
    if (open_.empty()) return top_;
    return open_.back()->is_array() ? open_.back()->emplace_back() : *member_;
  }

  void count() {
    if (++events_ > kMostJsonValues) refuse("it has more than " + std::to_string(kMostJsonValues) + " values");
  }

  [[noreturn]] void refuse(const std::string& reason) const {
    throw DataError("'" + where_ + "' is not acceptable JSON", reason);
  }

  const std::string& where_;
  const JsonRules& rules_;
  nlohmann::json top_;
  std::vector<nlohmann::json*> open_;  // arrays and objects that have not ended
  nlohmann::json* member_ = nullptr;   // of the innermost object, whose key was read
  std::size_t events_ = 0;
};

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, const std::string& where, const JsonRules& rules) {
  StrictBuilder builder(where, rules);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
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
