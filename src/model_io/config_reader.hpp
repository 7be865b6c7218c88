// Checked access to the keys of a config.json: every failure names the file, the key, the value and what is supported.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

namespace tercet {

class ConfigReader {
 public:
  // `path` is put before each key in messages, e.g. "rope_scaling." for a nested object.
  ConfigReader(const nlohmann::json& object, std::string where, std::string path = "")
      : object_(&object), where_(std::move(where)), path_(std::move(path)) {}

  bool has(const std::string& key) const;      // present and not null
  bool is_null(const std::string& key) const;  // present and null

  std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high) const;  // required
  std::int64_t integer_or(const std::string& key, std::int64_t low, std::int64_t high, std::int64_t otherwise) const;
  double number_or(const std::string& key, double low, double high, double otherwise) const;
  bool boolean_or(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key) const;  // required
  std::string text_or(const std::string& key, const std::string& otherwise) const;
  std::optional<ConfigReader> object(const std::string& key) const;  // absent or empty: nothing
  const nlohmann::json& raw(const std::string& key) const { return object_->at(key); }
  bool empty() const { return object_->empty(); }

  // Refuses `key: true` (or false, by `refused`) of a feature that the models here do not have.
  void refuse_flag(const std::string& key, bool refused, const std::string& supported) const;
  [[noreturn]] void fail(const std::string& key, const std::string& reason, const std::string& supported) const;

 private:
  const nlohmann::json* object_;  // a pointer, so that readers can be assigned
  std::string where_;
  std::string path_;
};

}  // namespace tercet
