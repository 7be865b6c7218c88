#include "text/json_view.hpp"

#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet::text {
namespace {

constexpr std::uintmax_t kLargestJson = std::uintmax_t{256} << 20;
constexpr int kDeepestJson = 64;

}  // namespace

bool JsonView::has(const std::string& key) const {
  if (!value_->is_object()) return false;
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

JsonView JsonView::at(const std::string& key) const {
  if (!value_->is_object()) fail("it is a " + std::string(value_->type_name()) + ", an object is needed");
  const auto found = value_->find(key);
  if (found == value_->end()) fail("key '" + key + "' is missing");
  return JsonView(*found, file_, path_.empty() ? key : path_ + "." + key);
}

JsonView JsonView::at(std::size_t index) const {
  if (!value_->is_array()) fail("it is a " + std::string(value_->type_name()) + ", an array is needed");
  if (index >= value_->size()) fail("it has only " + std::to_string(value_->size()) + " elements");
  return JsonView((*value_)[index], file_, path_ + "[" + std::to_string(index) + "]");
}

std::size_t JsonView::size() const {
  if (!value_->is_array() && !value_->is_object()) {
    fail("it is a " + std::string(value_->type_name()) + ", an array or object is needed");
  }
  return value_->size();
}

void JsonView::for_each_member(const std::function<void(const std::string&, const JsonView&)>& action) const {
  if (!value_->is_object()) fail("it is a " + std::string(value_->type_name()) + ", an object is needed");
  for (const auto& [key, value] : value_->items()) action(key, JsonView(value, file_, path_ + "." + key));
}

const std::string& JsonView::string() const {
  if (!value_->is_string()) fail("it is a " + std::string(value_->type_name()) + ", a string is needed");
  return value_->get_ref<const std::string&>();
}

bool JsonView::boolean() const {
  if (!value_->is_boolean()) fail("it is a " + std::string(value_->type_name()) + ", true or false is needed");
  return value_->get<bool>();
}

std::int64_t JsonView::integer(std::int64_t low, std::int64_t high) const {
  if (!value_->is_number_integer()) fail("it is a " + std::string(value_->type_name()) + ", an integer is needed");
  // An unsigned value above the signed range would wrap to a negative one.
  const bool wraps = value_->is_number_unsigned() && value_->get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  if (wraps || value_->get<std::int64_t>() < low || value_->get<std::int64_t>() > high) {
    fail("it is " + value_->dump() + ", from " + std::to_string(low) + " to " + std::to_string(high) + " is allowed");
  }
  return value_->get<std::int64_t>();
}

double JsonView::number() const {
  if (!value_->is_number()) fail("it is a " + std::string(value_->type_name()) + ", a number is needed");
  return value_->get<double>();
}

std::string JsonView::string_or(const std::string& key, const std::string& fallback) const {
  return has(key) ? at(key).string() : fallback;
}

bool JsonView::boolean_or(const std::string& key, bool fallback) const {
  return has(key) ? at(key).boolean() : fallback;
}

void JsonView::fail(const std::string& reason) const {
  throw DataError("cannot use " + (path_.empty() ? "" : "'" + path_ + "' of ") + "'" + file_ + "'", reason);
}

nlohmann::json parse_json(std::string_view text, const std::string& file) {
  // The tokenizers package takes the last of two equal keys, as the library does.
  return parse_strict_json(text, file, {.deepest = kDeepestJson, .unique_keys = false});
}

nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path, kLargestJson), path.string());
}

}  // namespace tercet::text
