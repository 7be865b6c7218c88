#include "config/print.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "config/schema.hpp"
#include "tercet/base/hash.hpp"

namespace tercet {
namespace config {
namespace {

constexpr std::string_view kPlainStart = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/";
constexpr std::string_view kPlainRest = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/0123456789.+-";
constexpr std::array<std::string_view, 9> kWordsWithMeaning = {"true", "false", "yes", "no", "on",
                                                               "off",  "null",  "y",   "n"};

bool can_be_plain(const std::string& text) {
  if (text.empty() || kPlainStart.find(text[0]) == std::string_view::npos) return false;
  if (text.find_first_not_of(kPlainRest) != std::string::npos) return false;
  std::string lower = text;
  for (char& c : lower) c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  return std::find(kWordsWithMeaning.begin(), kWordsWithMeaning.end(), lower) == kWordsWithMeaning.end();
}

std::string in_quotes(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(c));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string flow_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() > 1 ? ", " : "") + item;
  return text + "]";
}

template <class Item>
std::string print_items(const std::vector<Item>& list) {
  std::vector<std::string> items;
  for (const Item& item : list) {
    std::string text = "{";
    for (const auto& row : rows_of(item)) {
      text += (text.size() > 1 ? ", " : "") + std::string(row.key) + ": ";
      text += with_field(row, item, [](const auto& value) { return print_value(value); });
    }
    items.push_back(text + "}");
  }
  return flow_list(items);
}

bool is_unset(const std::string& value) {
  return value.empty();
}
bool is_unset(const std::optional<std::int64_t>& value) {
  return !value;
}
template <class Value>
bool is_unset(const Value&) {
  return false;
}

std::string print_layer_format(const LayerFormat& item) {
  std::vector<std::string> set;
  for (const auto& row : rows_of(item)) {
    const auto print = [](const auto& value) { return is_unset(value) ? "" : print_value(value); };
    const std::string value = with_field(row, item, print);
    if (!value.empty()) set.push_back(std::string(row.key) + ": " + value);
  }
  if (set.size() == 1 && !item.format.empty()) return print_value(item.format);
  std::string text = "{";
  for (const std::string& each : set) text += (text.size() > 1 ? ", " : "") + each;
  return text + "}";
}

std::string print_field(const Row<JobConfig>& row, const JobConfig& config) {
  return with_field(row, config, [](const auto& value) { return print_value(value); });
}

// Prints the section headings on the way to `key` that `open` (the sections of the key before) lacks.
std::string headings(std::string_view key, std::string_view open) {
  std::string text;
  for (std::size_t dot = key.find('.'); dot != std::string_view::npos; dot = key.find('.', dot + 1)) {
    const std::string_view section = key.substr(0, dot + 1);
    if (open.starts_with(section)) continue;
    const auto depth = static_cast<std::size_t>(std::count(section.begin(), section.end(), '.')) - 1;
    const std::size_t begin = section.rfind('.', dot - 1);
    const std::size_t name = begin == std::string_view::npos ? 0 : begin + 1;
    text += std::string(2 * depth, ' ') + std::string(section.substr(name, dot - name)) + ":\n";
  }
  return text;
}

}  // namespace

std::string print_number(double value) {
  char buffer[64];
  const bool whole = std::abs(value) < 1e15 && value == std::floor(value);
  const auto result = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(value))
                            : std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

std::string print_value(bool value) {
  return value ? "true" : "false";
}
std::string print_value(std::int64_t value) {
  return std::to_string(value);
}
std::string print_value(double value) {
  return print_number(value);
}
std::string print_value(const std::string& value) {
  return can_be_plain(value) ? value : in_quotes(value);
}
std::string print_value(const std::optional<std::int64_t>& value) {
  return value ? std::to_string(*value) : "null";
}

std::string print_value(const std::vector<std::string>& value) {
  std::vector<std::string> items;
  for (const std::string& item : value) items.push_back(print_value(item));
  return flow_list(items);
}

std::string print_value(const std::vector<SourceConfig>& value) {
  return print_items(value);
}
std::string print_value(const std::vector<TaskConfig>& value) {
  return print_items(value);
}
std::string print_value(const std::vector<LayerFormat>& value) {
  std::vector<std::string> items;
  for (const LayerFormat& item : value) items.push_back(print_layer_format(item));
  return flow_list(items);
}

}  // namespace config

std::string to_yaml(const JobConfig& job) {
  std::string text;
  std::string_view previous;
  for (const auto& row : config::job_rows()) {
    text += config::headings(row.key, previous);
    const auto depth = static_cast<std::size_t>(std::count(row.key.begin(), row.key.end(), '.'));
    const std::string_view name = row.key.substr(row.key.rfind('.') + 1);
    text += std::string(2 * depth, ' ') + std::string(name) + ": " + config::print_field(row, job) + "\n";
    previous = row.key;
  }
  return text;
}

std::map<std::string, std::string> result_settings(const JobConfig& job) {
  std::map<std::string, std::string> settings;
  for (const auto& row : config::job_rows()) {
    if (row.effect != config::Effect::kNone) settings.emplace(row.key, config::print_field(row, job));
  }
  return settings;
}

std::map<std::string, std::string> all_settings(const JobConfig& job) {
  std::map<std::string, std::string> settings;
  for (const auto& row : config::job_rows()) settings.emplace(row.key, config::print_field(row, job));
  return settings;
}

bool may_change_in_a_run(const std::string& key) {
  const auto rows = config::job_rows();
  return std::any_of(rows.begin(), rows.end(),
                     [&](const auto& row) { return row.key == key && row.effect != config::Effect::kResults; });
}

std::string fingerprint(const JobConfig& job) {
  std::string text;
  for (const auto& [key, value] : result_settings(job)) text += key + "=" + value + "\n";
  return sha256_hex(text);
}

}  // namespace tercet
