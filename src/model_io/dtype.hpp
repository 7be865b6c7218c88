// Element types under their safetensors names ("F32", "BF16", ...).
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tercet {

inline constexpr std::size_t kMaxDimensions = 16;  // of a tensor in a file

std::optional<c10::ScalarType> scalar_type(const std::string& safetensors_name);
std::string safetensors_name(c10::ScalarType type);  // throws DataError for a type without a name

// Bytes of a dense tensor, or nothing if a dimension is negative or the product (zero dimensions counted as one, as
// strides are computed) leaves 63 bits.
std::optional<std::uint64_t> checked_bytes(const std::vector<std::int64_t>& shape, std::uint64_t element_size);

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[2, 3]"

}  // namespace tercet
