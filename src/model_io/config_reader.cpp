#include "config_reader.hpp"

#include <cmath>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

// Values of strangers are shown, but not at any length.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace

bool ConfigReader::has(const std::string& key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

bool ConfigReader::is_null(const std::string& key) const {
  const auto found = object_->find(key);
  return found != object_->end() && found->is_null();
}

void ConfigReader::fail(const std::string& key, const std::string& reason, const std::string& supported) const {
  const std::string value = object_->contains(key) ? ": " + shown(object_->at(key)) : "";
  throw DataError("'" + where_ + "': '" + path_ + key + "'" + value + " cannot be used", reason, supported);
}

std::int64_t ConfigReader::integer(const std::string& key, std::int64_t low, std::int64_t high) const {
  if (!has(key)) fail(key, "the key is missing", "an integer is needed");
  const nlohmann::json& value = object_->at(key);
  const std::string range = "an integer from " + std::to_string(low) + " to " + std::to_string(high) + " is supported";
  if (!value.is_number_integer()) fail(key, "it is not an integer", range);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    fail(key, "it is out of range", range);
  }
  const auto number = value.get<std::int64_t>();
  if (number < low || number > high) fail(key, "it is out of range", range);
  return number;
}

std::int64_t ConfigReader::integer_or(const std::string& key, std::int64_t low, std::int64_t high,
                                      std::int64_t otherwise) const {
  return has(key) ? integer(key, low, high) : otherwise;
}

double ConfigReader::number_or(const std::string& key, double low, double high, double otherwise) const {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = object_->at(key);
  const std::string range =
      "a number from " + nlohmann::json(low).dump() + " to " + nlohmann::json(high).dump() + " is supported";
  if (!value.is_number()) fail(key, "it is not a number", range);
  const double number = value.get<double>();
  if (!std::isfinite(number) || number < low || number > high) fail(key, "it is out of range", range);
  return number;
}

bool ConfigReader::boolean_or(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_->at(key).is_boolean()) fail(key, "it is not true or false", "true and false are supported");
  return object_->at(key).get<bool>();
}

std::string ConfigReader::text(const std::string& key) const {
  if (!has(key)) fail(key, "the key is missing", "a string is needed");
  if (!object_->at(key).is_string()) fail(key, "it is not a string", "a string is needed");
  return object_->at(key).get<std::string>();
}

std::string ConfigReader::text_or(const std::string& key, const std::string& otherwise) const {
  return has(key) ? text(key) : otherwise;
}

std::optional<ConfigReader> ConfigReader::object(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  const nlohmann::json& value = object_->at(key);
  if (!value.is_object()) fail(key, "it is not an object", "an object or null is supported");
  if (value.empty()) return std::nullopt;
  return ConfigReader(value, where_, path_ + key + ".");
}

void ConfigReader::refuse_flag(const std::string& key, bool refused, const std::string& supported) const {
  if (boolean_or(key, !refused) == refused) fail(key, "this variant is not implemented", supported);
}

}  // namespace tercet
