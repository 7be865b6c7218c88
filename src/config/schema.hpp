// The schema table: one row for each key of a configuration. Reading, checking, printing, the fingerprint and
// docs/config.md all follow it, so a new setting is a field in job_config.hpp and a row in schema.cpp.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tercet/config/job_config.hpp"

namespace tercet::config {

// What a value may be. Numbers use the range, text the choices ("a | b"; empty: any text).
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_allowed = true;
  bool high_allowed = true;
  std::int64_t multiple_of = 1;
  std::string_view choices = {};
  bool path = false;  // relative paths are made absolute
};

constexpr Limits any() {
  return {};
}
constexpr Limits path() {
  return {.path = true};
}
constexpr Limits at_least(double low) {
  return {.low = low};
}
constexpr Limits above(double low) {
  return {.low = low, .low_allowed = false};
}
constexpr Limits between(double low, double high) {
  return {.low = low, .high = high};
}
constexpr Limits from_below(double low, double high) {
  return {.low = low, .high = high, .high_allowed = false};
}
constexpr Limits one_of(std::string_view choices) {
  return {.choices = choices};
}
inline constexpr std::string_view kSeverities = "fail | warn | off";

// Whether another value can lead to another model, figure or verdict. Only those keys enter the fingerprint.
// kChecked also does, but a run that was started may go on with another value when told so: its effect is rounding
// (batches), is checked by content (paths of inputs), or comes after everything computed (gates).
enum class Effect { kResults, kChecked, kNone };

// Where the value lives: the address of a field inside its struct.
template <class Owner>
using Field = std::variant<bool& (*)(Owner&), std::int64_t& (*)(Owner&), double& (*)(Owner&), std::string& (*)(Owner&),
                           std::vector<std::string>& (*)(Owner&), std::vector<SourceConfig>& (*)(Owner&),
                           std::vector<TaskConfig>& (*)(Owner&), std::vector<LayerFormat>& (*)(Owner&),
                           std::optional<std::int64_t>& (*)(Owner&)>;

template <class Owner>
struct Row {
  std::string_view key;  // "training.tokens"
  Field<Owner> field;
  std::string_view unit;
  Limits limits;
  Effect effect;
  std::string_view sentence;  // what it does, one sentence
};

std::span<const Row<JobConfig>> job_rows();
std::span<const Row<SourceConfig>> source_rows();  // of one item of data.sources
std::span<const Row<TaskConfig>> task_rows();      // of one item of evaluation.tasks
std::span<const Row<LayerFormat>> layer_rows();    // of one item of quantization.layers or allocation.formats
// The rows of the items of a list, by what an item is.
inline std::span<const Row<SourceConfig>> rows_of(const SourceConfig&) {
  return source_rows();
}
inline std::span<const Row<TaskConfig>> rows_of(const TaskConfig&) {
  return task_rows();
}
inline std::span<const Row<LayerFormat>> rows_of(const LayerFormat&) {
  return layer_rows();
}

template <class Owner>
const Row<Owner>* find_row(std::span<const Row<Owner>> rows, std::string_view key) {
  for (const Row<Owner>& row : rows) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

struct SectionRow {
  std::string_view key;
  std::string_view sentence;
};
std::span<const SectionRow> sections();  // "model", "gates.compression", ...
bool lists(std::span<const SectionRow> sections, std::string_view key);

// Calls `use` with the field's value. `Owner` may be const.
template <class Owner, class Use>
decltype(auto) with_field(const Row<Owner>& row, Owner& owner, Use&& use) {
  return std::visit([&](auto field) -> decltype(auto) { return use(field(owner)); }, row.field);
}
template <class Owner, class Use>
decltype(auto) with_field(const Row<Owner>& row, const Owner& owner, Use&& use) {
  return std::visit(
      [&](auto field) -> decltype(auto) {
        // The table holds one accessor a key, for writing; the value is only read here.
        return use(std::as_const(field(const_cast<Owner&>(owner))));
      },
      row.field);
}

std::string type_name(const Row<JobConfig>& row);  // "whole number", "list of paths", ...
std::string type_name(const Row<SourceConfig>& row);
std::string type_name(const Row<TaskConfig>& row);
std::string type_name(const Row<LayerFormat>& row);
std::string allowed(const Limits& limits);  // "at least 1", "0 to 1", "adamw | mugrokfast"; "" for anything
std::vector<std::string> split_choices(std::string_view choices);

}  // namespace tercet::config
