// Tables in run.h5: one extensible dataset of a compound type, a member per column; text of any length, int64, float64.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "store/hdf5.hpp"
#include "store/records.hpp"

namespace tercet::store {

enum class ColumnKind { kText, kInteger, kReal };

struct Column {
  std::string name;
  ColumnKind kind;
};

// Makes the table or replaces its rows; `rows` is an array of objects with a value for every column.
void write_table(hid_t location, const std::string& path, const std::vector<Column>& columns,
                 const nlohmann::json& rows);
// Throws StoreError when the dataset is not such a table. An absent one is empty.
nlohmann::json read_table(hid_t location, const std::string& path, const std::vector<Column>& columns);

template <class Record>
std::vector<Column> columns_of() {
  std::vector<Column> columns;
  Record record;
  visit_fields(record, [&columns](const char* name, const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    columns.push_back({name, std::is_same_v<Field, std::string> ? ColumnKind::kText
                             : std::is_floating_point_v<Field>  ? ColumnKind::kReal
                                                                : ColumnKind::kInteger});
  });
  return columns;
}

template <class Record>
void write_records(hid_t location, const std::string& path, const std::vector<Record>& records) {
  write_table(location, path, columns_of<Record>(), to_json_table(records));
}

template <class Record>
std::vector<Record> read_records(hid_t location, const std::string& path) {
  return from_json_table<Record>(read_table(location, path, columns_of<Record>()));
}

}  // namespace tercet::store
