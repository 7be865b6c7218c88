#include "dtype.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tercet/base/error.hpp"

namespace tercet {
namespace {

using c10::ScalarType;
constexpr std::array<std::pair<const char*, ScalarType>, 15> kNames{{{"F32", ScalarType::Float},
                                                                     {"F16", ScalarType::Half},
                                                                     {"BF16", ScalarType::BFloat16},
                                                                     {"F64", ScalarType::Double},
                                                                     {"U8", ScalarType::Byte},
                                                                     {"I8", ScalarType::Char},
                                                                     {"I16", ScalarType::Short},
                                                                     {"I32", ScalarType::Int},
                                                                     {"I64", ScalarType::Long},
                                                                     {"BOOL", ScalarType::Bool},
                                                                     {"U16", ScalarType::UInt16},
                                                                     {"U32", ScalarType::UInt32},
                                                                     {"U64", ScalarType::UInt64},
                                                                     {"F8_E4M3", ScalarType::Float8_e4m3fn},
                                                                     {"F8_E5M2", ScalarType::Float8_e5m2}}};

}  // namespace

std::optional<ScalarType> scalar_type(const std::string& safetensors_name) {
  for (const auto& [name, type] : kNames) {
    if (safetensors_name == name) return type;
  }
  return std::nullopt;
}

std::string safetensors_name(ScalarType type) {
  for (const auto& [name, known] : kNames) {
    if (type == known) return name;
  }
  throw DataError(std::string("element type ") + c10::toString(type) + " has no place in these files");
}

std::optional<std::uint64_t> checked_bytes(const std::vector<std::int64_t>& shape, std::uint64_t element_size) {
  std::int64_t strided = static_cast<std::int64_t>(element_size);
  bool empty = false;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty = empty || dimension == 0;
    if (__builtin_mul_overflow(strided, std::max<std::int64_t>(dimension, 1), &strided)) return std::nullopt;
  }
  return empty ? 0 : static_cast<std::uint64_t>(strided);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t dimension : shape) text += (text.empty() ? "" : ", ") + std::to_string(dimension);
  return "[" + text + "]";
}

}  // namespace tercet
