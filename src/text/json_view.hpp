// Reading untrusted JSON: every access is checked, and a failure names the file and the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tercet/base/error.hpp"

namespace tercet::text {

// One value of a JSON file and where it stands, e.g. "model.merges[3]". The document must outlive its views.
class JsonView {
 public:
  JsonView(const nlohmann::json& value, std::string file, std::string path = "")
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  bool has(const std::string& key) const;  // an object with this key, and the value is not null
  JsonView at(const std::string& key) const;
  JsonView at(std::size_t index) const;
  std::size_t size() const;  // of an array or object
  void for_each_member(const std::function<void(const std::string&, const JsonView&)>& action) const;

  bool is_null() const { return value_->is_null(); }
  bool is_string() const { return value_->is_string(); }
  bool is_object() const { return value_->is_object(); }
  bool is_array() const { return value_->is_array(); }
  bool is_integer() const { return value_->is_number_integer(); }

  const std::string& string() const;
  bool boolean() const;
  std::int64_t integer(std::int64_t low, std::int64_t high) const;
  double number() const;

  // Optional members.
  std::string string_or(const std::string& key, const std::string& fallback) const;
  bool boolean_or(const std::string& key, bool fallback) const;
  std::string type() const { return string_or("type", ""); }

  [[noreturn]] void fail(const std::string& reason) const;  // DataError: this value cannot be used
  const std::string& file() const { return file_; }

 private:
  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

// Parses a whole file; DataError when it is not JSON, StoreError when it cannot be read.
nlohmann::json parse_json(std::string_view text, const std::string& file);
nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace tercet::text
