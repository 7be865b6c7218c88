#include "store/table.hpp"

#include <cstdint>
#include <cstring>

#include "tercet/base/error.hpp"

namespace tercet::store {
namespace {

// In memory every column is eight bytes wide: a pointer, an int64 or a double.
constexpr std::size_t kWidth = 8;
static_assert(sizeof(const char*) == kWidth);
constexpr hsize_t kChunkRows = 64;

Handle row_type(const std::vector<Column>& columns) {
  const std::string what = "cannot make a table's row type";
  Handle type = own(H5Tcreate(H5T_COMPOUND, kWidth * columns.size()), H5Tclose, what);
  const Handle text = text_type();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const hid_t member = columns[i].kind == ColumnKind::kText      ? text.get()
                         : columns[i].kind == ColumnKind::kInteger ? H5T_NATIVE_INT64
                                                                   : H5T_NATIVE_DOUBLE;
    check_hdf5(H5Tinsert(type.get(), columns[i].name.c_str(), kWidth * i, member), what);
  }
  return type;
}

Handle create_table(hid_t location, const std::string& path, hid_t type, hsize_t rows) {
  const std::string what = "cannot create table '" + path + "'";
  const hsize_t unlimited = H5S_UNLIMITED;
  const Handle space = own(H5Screate_simple(1, &rows, &unlimited), H5Sclose, what);
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, what);
  check_hdf5(H5Pset_chunk(creation.get(), 1, &kChunkRows), what);
  return own(
      H5Dcreate2(location, path.c_str(), type, space.get(), intermediate_groups().get(), creation.get(), H5P_DEFAULT),
      H5Dclose, what);
}

// The rows' values side by side; `texts` keeps what the pointers point at.
std::vector<std::byte> pack(const std::vector<Column>& columns, const nlohmann::json& rows,
                            std::vector<std::string>& texts) {
  std::vector<std::byte> buffer(kWidth * columns.size() * rows.size());
  texts.reserve(columns.size() * rows.size());  // pointers into it must not move
  std::byte* cell = buffer.data();
  for (const nlohmann::json& row : rows) {
    for (const Column& column : columns) {
      const nlohmann::json& value = row.at(column.name);
      if (column.kind == ColumnKind::kText) {
        const char* text = texts.emplace_back(value.get<std::string>()).c_str();
        std::memcpy(cell, &text, kWidth);
      } else if (column.kind == ColumnKind::kInteger) {
        const auto number = value.get<std::int64_t>();
        std::memcpy(cell, &number, kWidth);
      } else {
        const double number = number_from_json(value);
        std::memcpy(cell, &number, kWidth);
      }
      cell += kWidth;
    }
  }
  return buffer;
}

nlohmann::json unpack_cell(ColumnKind kind, const std::byte* cell) {
  if (kind == ColumnKind::kText) {
    const char* text = nullptr;
    std::memcpy(&text, cell, kWidth);
    return std::string(text == nullptr ? "" : text);
  }
  if (kind == ColumnKind::kInteger) {
    std::int64_t number = 0;
    std::memcpy(&number, cell, kWidth);
    return number;
  }
  double number = 0;
  std::memcpy(&number, cell, kWidth);
  return number_to_json(number);
}

nlohmann::json unpack(const std::vector<Column>& columns, const std::vector<std::byte>& buffer) {
  auto rows = nlohmann::json::array();
  for (std::size_t at = 0; at < buffer.size(); at += kWidth * columns.size()) {
    auto row = nlohmann::json::object();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      row[columns[i].name] = unpack_cell(columns[i].kind, buffer.data() + at + kWidth * i);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// A member that is missing would be left as it is in memory, one of another class could not be converted.
void require_columns(hid_t dataset, const std::vector<Column>& columns, const std::string& what) {
  const Handle type = own(H5Dget_type(dataset), H5Tclose, what);
  if (H5Tget_class(type.get()) != H5T_COMPOUND) throw StoreError(what, "it is not a table");
  for (const Column& column : columns) {
    const int index = H5Tget_member_index(type.get(), column.name.c_str());
    const H5T_class_t expected = column.kind == ColumnKind::kText      ? H5T_STRING
                                 : column.kind == ColumnKind::kInteger ? H5T_INTEGER
                                                                       : H5T_FLOAT;
    if (index < 0 || H5Tget_member_class(type.get(), static_cast<unsigned>(index)) != expected) {
      throw StoreError(what, "column '" + column.name + "' is missing or of another type");
    }
  }
}

}  // namespace

void write_table(hid_t location, const std::string& path, const std::vector<Column>& columns,
                 const nlohmann::json& rows) {
  const Hdf5Session session;
  const std::string what = "cannot write table '" + path + "'";
  const Handle type = row_type(columns);
  const hsize_t count = rows.size();
  Handle dataset;
  if (has_link(location, path)) {
    dataset = open_dataset(location, path, what);
    check_hdf5(H5Dset_extent(dataset.get(), &count), what);
  } else {
    dataset = create_table(location, path, type.get(), count);
  }
  if (count == 0) return;
  std::vector<std::string> texts;
  const std::vector<std::byte> buffer = pack(columns, rows, texts);
  check_hdf5(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.data()), what);
}

nlohmann::json read_table(hid_t location, const std::string& path, const std::vector<Column>& columns) {
  const Hdf5Session session;
  if (!has_link(location, path)) return nlohmann::json::array();
  const std::string what = "cannot read table '" + path + "'";
  const Handle dataset = open_dataset(location, path, what);
  require_columns(dataset.get(), columns, what);
  const Handle space = own(H5Dget_space(dataset.get()), H5Sclose, what);
  const std::uint64_t count = stored_count(dataset.get(), columns.size(), what);
  std::vector<std::byte> buffer(kWidth * columns.size() * count);
  if (buffer.empty()) return nlohmann::json::array();
  const Handle type = row_type(columns);
  check_hdf5(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.data()), what);
  nlohmann::json rows = unpack(columns, buffer);
  check_hdf5(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, buffer.data()), what);
  return rows;
}

}  // namespace tercet::store
