#include "quant/packing.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>

namespace tercet::quant {
namespace {

constexpr std::int64_t kGrainRows = 16;

// A code of at most 8 bits spans at most two bytes.
void pack_bits(const std::int8_t* levels, std::int64_t columns, const CodeLayout& layout, std::uint8_t* row) {
  const unsigned mask = (1u << layout.bits) - 1;
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::int64_t bit = j * layout.bits;
    const unsigned code = (static_cast<unsigned>(levels[j] + layout.zero) & mask) << bit % 8;
    row[bit / 8] |= static_cast<std::uint8_t>(code);
    if (code > 0xff) row[bit / 8 + 1] |= static_cast<std::uint8_t>(code >> 8);
  }
}

void unpack_bits(const std::uint8_t* row, std::int64_t columns, const CodeLayout& layout, std::int8_t* levels) {
  const unsigned mask = (1u << layout.bits) - 1;
  const std::int64_t bytes = layout.row_bytes(columns);
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::int64_t byte = j * layout.bits / 8;
    const unsigned two = row[byte] | (byte + 1 < bytes ? static_cast<unsigned>(row[byte + 1]) << 8 : 0u);
    const auto code = static_cast<int>(two >> j * layout.bits % 8 & mask);
    levels[j] = static_cast<std::int8_t>(code - layout.zero);  // int8: 128 to 255 become negative
  }
}

void pack_digits(const std::int8_t* levels, std::int64_t columns, const CodeLayout& layout, std::uint8_t* row) {
  for (std::int64_t begin = 0; begin < columns; begin += layout.digits) {
    int byte = 0;
    for (std::int64_t j = std::min(columns, begin + layout.digits); j-- > begin;)
      byte = 3 * byte + levels[j] + layout.zero;
    row[begin / layout.digits] = static_cast<std::uint8_t>(byte);
  }
}

// The last digit is what is left, so that a byte above 242 shows as a code above 2.
void unpack_digits(const std::uint8_t* row, std::int64_t columns, const CodeLayout& layout, std::int8_t* levels) {
  for (std::int64_t begin = 0; begin < columns; begin += layout.digits) {
    int rest = row[begin / layout.digits];
    for (std::int64_t k = 0; k < layout.digits && begin + k < columns; ++k) {
      const bool last = k + 1 == layout.digits || begin + k + 1 == columns;
      levels[begin + k] = static_cast<std::int8_t>((last ? rest : rest % 3) - layout.zero);
      rest /= 3;
    }
  }
}

}  // namespace

at::Tensor pack_rows(const at::Tensor& levels, const CodeLayout& layout) {
  const std::int64_t rows = levels.size(0), columns = levels.size(1), bytes = layout.row_bytes(columns);
  at::Tensor codes = at::zeros({rows, bytes}, layout.type);
  const auto* in = levels.const_data_ptr<std::int8_t>();
  auto* out = static_cast<std::uint8_t*>(codes.mutable_data_ptr());
  const auto pack = layout.digits > 0 ? pack_digits : pack_bits;
  at::parallel_for(0, rows, kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) pack(in + row * columns, columns, layout, out + row * bytes);
  });
  return codes;
}

at::Tensor unpack_rows(const at::Tensor& codes, const CodeLayout& layout, std::int64_t columns) {
  const at::Tensor host = codes.to(at::kCPU).contiguous();
  const std::int64_t rows = host.size(0), bytes = layout.row_bytes(columns);
  at::Tensor levels = at::empty({rows, columns}, at::kChar);
  const auto* in = static_cast<const std::uint8_t*>(host.const_data_ptr());
  auto* out = levels.mutable_data_ptr<std::int8_t>();
  const auto unpack = layout.digits > 0 ? unpack_digits : unpack_bits;
  at::parallel_for(0, rows, kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) unpack(in + row * bytes, columns, layout, out + row * columns);
  });
  return levels;
}

}  // namespace tercet::quant
