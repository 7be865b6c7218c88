// The words for a row's type and for what it allows.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "config/family_schema.hpp"
#include "config/print.hpp"
#include "config/study_schema.hpp"

namespace tercet::config {
namespace {

template <class Owner>
std::string name_of_type(const Row<Owner>& row) {
  Owner sample;
  return with_field(row, sample, [&row](auto& value) -> std::string {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, bool>) return "true or false";
    if constexpr (std::is_same_v<Value, double>) return "number";
    if constexpr (std::is_same_v<Value, std::string>) return row.limits.path ? "path" : "text";
    if constexpr (std::is_same_v<Value, std::vector<std::string>>)
      return row.limits.path ? "list of paths" : "list of text";
    if constexpr (std::is_same_v<Value, std::vector<SourceConfig>>) return "list of sources";
    if constexpr (std::is_same_v<Value, std::vector<TaskConfig>>) return "list of tasks";
    if constexpr (std::is_same_v<Value, std::vector<LayerFormat>>) return "list of formats";
    return "whole number";
  });
}

std::string range_text(const Limits& limits) {
  const bool has_low = std::isfinite(limits.low), has_high = std::isfinite(limits.high);
  if (has_low && has_high) {
    const std::string low = (limits.low_allowed ? "" : "above ") + print_number(limits.low);
    return low + " to " + (limits.high_allowed ? "" : "below ") + print_number(limits.high);
  }
  if (has_low) return (limits.low_allowed ? "at least " : "above ") + print_number(limits.low);
  if (has_high) return (limits.high_allowed ? "at most " : "below ") + print_number(limits.high);
  return "";
}

}  // namespace

std::string type_name(const Row<JobConfig>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<SourceConfig>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<TaskConfig>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<LayerFormat>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<FamilyConfig>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<FamilyModel>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<FamilyTarget>& row) {
  return name_of_type(row);
}
std::string type_name(const Row<StudyConfig>& row) {
  return name_of_type(row);
}

std::string allowed(const Limits& limits) {
  if (!limits.choices.empty()) return std::string(limits.choices);
  std::string text = range_text(limits);
  if (limits.multiple_of > 1)
    text += (text.empty() ? "" : ", ") + ("a multiple of " + std::to_string(limits.multiple_of));
  return text;
}

std::vector<std::string> split_choices(std::string_view choices) {
  constexpr std::string_view kSeparator = " | ";
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < choices.size();) {
    const std::size_t end = std::min(choices.find(kSeparator, begin), choices.size());
    words.emplace_back(choices.substr(begin, end - begin));
    begin = end + kSeparator.size();
  }
  return words;
}

}  // namespace tercet::config
