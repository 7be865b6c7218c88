// The fields of each record in one place: the journal's JSON, the columns of the tables in run.h5 and the conversions
// between them all follow from the visitors below.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "tercet/base/strict_json.hpp"
#include "tercet/store/number_json.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::store {

template <class Visit>
void visit_fields(MetricRecord& r, Visit&& visit) {
  visit("name", r.name), visit("step", r.step), visit("value", r.value), visit("unit", r.unit);
  visit("attempt", r.attempt);
}

template <class Visit>
void visit_fields(LayerRecord& r, Visit&& visit) {
  visit("name", r.name), visit("role", r.role), visit("format", r.format);
  visit("rows", r.rows), visit("columns", r.columns), visit("group_size", r.group_size);
  visit("bits_per_weight", r.bits_per_weight);
  visit("scale_min", r.scale_min), visit("scale_mean", r.scale_mean), visit("scale_max", r.scale_max);
  visit("sparsity", r.sparsity);
  visit("relative_error", r.relative_error), visit("weighted_relative_error", r.weighted_relative_error);
}

template <class Visit>
void visit_fields(StageRecord& r, Visit&& visit) {
  visit("name", r.name), visit("begin_s", r.begin_s), visit("end_s", r.end_s), visit("attempt", r.attempt);
}

template <class Visit>
void visit_fields(GateRecord& r, Visit&& visit) {
  visit("name", r.name), visit("verdict", r.verdict), visit("severity", r.severity);
  visit("value", r.value), visit("threshold", r.threshold), visit("comparison", r.comparison);
  visit("evidence", r.evidence);
}

template <class Visit>
void visit_fields(RankRecord& r, Visit&& visit) {
  visit("rank", r.rank), visit("host", r.host), visit("device", r.device);
  visit("peak_memory_bytes", r.peak_memory_bytes), visit("tokens_per_second", r.tokens_per_second);
}

template <class Visit>
void visit_fields(AttemptRecord& r, Visit&& visit) {
  visit("attempt", r.attempt), visit("began", r.began);
}

template <class Record>
nlohmann::json to_json(Record record) {
  auto object = nlohmann::json::object();
  visit_fields(record, [&object](const char* name, const auto& field) {
    if constexpr (std::is_same_v<std::decay_t<decltype(field)>, double>) {
      object[name] = number_to_json(field);
    } else {
      object[name] = field;
    }
  });
  return object;
}

// Throws nlohmann::json::exception or DataError when a field is missing or of another type.
template <class Record>
Record from_json(const nlohmann::json& object) {
  Record record;
  visit_fields(record, [&object](const char* name, auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, double>) {
      field = number_from_json(object.at(name));
    } else if constexpr (std::is_integral_v<Field>) {
      field = static_cast<Field>(json_integer(object.at(name), name, "a record", std::numeric_limits<Field>::min(),
                                              std::numeric_limits<Field>::max()));
    } else {
      field = object.at(name).template get<Field>();
    }
  });
  return record;
}

template <class Record>
nlohmann::json to_json_table(const std::vector<Record>& records) {
  auto table = nlohmann::json::array();
  for (const Record& record : records) table.push_back(to_json(record));
  return table;
}

template <class Record>
std::vector<Record> from_json_table(const nlohmann::json& table) {
  std::vector<Record> records;
  for (const nlohmann::json& row : table) records.push_back(from_json<Record>(row));
  return records;
}

// A RunRecord as JSON, to compare two of them (NaN equals NaN here).
nlohmann::json to_json(const RunRecord& run);

}  // namespace tercet::store
