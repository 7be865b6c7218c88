#include "safetensors.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "dtype.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace {

static_assert(std::endian::native == std::endian::little, "weight files are little endian and mapped as they are");

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

std::string_view header_of(const MappedFile& file) {
  const auto fail = [&](const std::string& reason) {
    return DataError("'" + file.path().string() + "' is not a safetensors file", reason,
                     "it may be cut off or of another format");
  };
  const std::string_view text = file.text();
  if (text.size() < 8) throw fail(std::to_string(text.size()) + " bytes are too few for a header");
  std::uint64_t length = 0;
  std::memcpy(&length, text.data(), sizeof(length));
  if (length > kMaxHeaderBytes) throw fail("its header would have " + std::to_string(length) + " bytes");
  if (length > text.size() - 8) throw fail("its header of " + std::to_string(length) + " bytes does not fit the file");
  const std::string_view header = text.substr(8, length);
  if (!header.starts_with('{')) throw fail("its header does not start with '{'");
  return header;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file)
    : mapping_(std::make_shared<const MappedFile>(file)) {
  const std::string_view header = header_of(*mapping_);
  data_ = mapping_->bytes().subspan(8 + header.size());
  const nlohmann::json object = parse_json_object(header, file.string());
  for (const auto& [name, entry] : object.items()) {
    if (name == "__metadata__") {
      read_metadata(entry);
    } else {
      read_entry(name, entry);
    }
  }
  check_coverage();
}

void SafetensorsFile::fail(const std::string& name, const std::string& reason) const {
  throw DataError("tensor '" + name + "' of '" + mapping_->path().string() + "' is malformed", reason,
                  "the file may be cut off or damaged");
}

void SafetensorsFile::read_metadata(const nlohmann::json& metadata) {
  const std::string where = "'" + mapping_->path().string() + "'";
  if (!metadata.is_object()) throw DataError(where + ": '__metadata__' is no object");
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) throw DataError(where + ": metadata '" + key + "' is not a string");
    metadata_[key] = value.get<std::string>();
  }
}

void SafetensorsFile::read_entry(const std::string& name, const nlohmann::json& entry) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string()) fail(name, "it has no dtype");
  TensorInfo info{.dtype = entry["dtype"].get<std::string>(), .shape = {}, .file = mapping_->path()};
  const auto type = scalar_type(info.dtype);
  if (!type) fail(name, "its dtype '" + info.dtype + "' is not supported");
  if (!entry.contains("shape") || !entry["shape"].is_array()) fail(name, "it has no shape");
  if (entry["shape"].size() > kMaxDimensions) fail(name, "it has more than 16 dimensions");
  for (const auto& dimension : entry["shape"]) {
    if (!dimension.is_number_unsigned() || dimension.get<std::uint64_t>() > INT64_MAX) {
      fail(name, "its shape holds something else than counts");
    }
    info.shape.push_back(dimension.get<std::int64_t>());
  }
  const Extent extent = read_extent(name, entry);
  const auto bytes = checked_bytes(info.shape, c10::elementSize(*type));
  if (!bytes) fail(name, "its shape " + shape_text(info.shape) + " overflows");
  if (*bytes != extent.end - extent.begin) {
    fail(name, "shape " + shape_text(info.shape) + " of " + info.dtype + " needs " + std::to_string(*bytes) +
                   " bytes, data_offsets give " + std::to_string(extent.end - extent.begin));
  }
  extents_.emplace(name, extent);
  tensors_.emplace(name, std::move(info));
}

SafetensorsFile::Extent SafetensorsFile::read_extent(const std::string& name, const nlohmann::json& entry) const {
  const auto found = entry.find("data_offsets");
  const bool pair = found != entry.end() && found->is_array() && found->size() == 2 &&
                    (*found)[0].is_number_unsigned() && (*found)[1].is_number_unsigned();
  if (!pair) fail(name, "it has no pair of data_offsets");
  const Extent extent{(*found)[0].get<std::uint64_t>(), (*found)[1].get<std::uint64_t>()};
  if (extent.begin > extent.end) fail(name, "its data ends before it begins");
  if (extent.end > data_.size()) {
    fail(name, "its data ends at byte " + std::to_string(extent.end) + " of " + std::to_string(data_.size()));
  }
  return extent;
}

void SafetensorsFile::check_coverage() const {
  std::vector<std::pair<Extent, std::string>> order;
  for (const auto& [name, extent] : extents_) order.emplace_back(extent, name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.begin, a.first.end, a.second) < std::tie(b.first.begin, b.first.end, b.second);
  });
  std::uint64_t covered = 0;
  for (const auto& [extent, name] : order) {
    if (extent.begin < covered) fail(name, "its data overlaps that of another tensor");
    if (extent.begin > covered) fail(name, "there is a hole in the data before it");
    covered = extent.end;
  }
  if (covered != data_.size()) {
    throw DataError("'" + mapping_->path().string() + "' is malformed",
                    std::to_string(data_.size() - covered) + " bytes at its end belong to no tensor");
  }
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw DataError("tensor '" + name + "' is missing", "'" + mapping_->path().string() + "' does not hold it");
  }
  const Extent extent = extents_.at(name);
  const auto type = *scalar_type(found->second.dtype);
  const std::byte* start = data_.data() + extent.begin;
  const bool aligned = reinterpret_cast<std::uintptr_t>(start) % c10::elementSize(type) == 0;
  if (extent.begin == extent.end || !aligned) {
    at::Tensor copy = at::empty(found->second.shape, type);
    if (extent.begin != extent.end) std::memcpy(copy.mutable_data_ptr(), start, extent.end - extent.begin);
    return copy;
  }
  const auto keep = [mapping = mapping_](void*) {};
  return at::from_blob(const_cast<std::byte*>(start), found->second.shape, keep, at::TensorOptions(type));
}

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& file) {
  return std::make_unique<SafetensorsFile>(file);
}

std::map<std::string, std::string> safetensors_metadata(const std::filesystem::path& file) {
  return SafetensorsFile(file).metadata();
}

}  // namespace tercet
