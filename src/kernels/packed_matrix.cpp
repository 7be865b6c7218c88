#include "tercet/kernels/packed_matrix.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/on_device.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {

using namespace kernels;  // NOLINT: the layout's constants

namespace {

// Beyond it, codes of 8 bits times 127 may leave int32.
constexpr std::int64_t kWidest = 65536;

// Of a code as the kernels read it.
int kernel_bits(const FormatSpec& spec) {
  const LevelRange levels = spec.format->levels(spec.symmetric);
  const int span = levels.highest - levels.lowest + 1;
  return span <= 4 ? 2 : span <= 16 ? 4 : 8;
}

std::int64_t group_columns_of(const FormatSpec& spec, std::int64_t columns) {
  return spec.granularity == Granularity::kGroup ? std::min(spec.group_size, columns) : columns;
}

std::int64_t whole(std::int64_t count, std::int64_t unit) {
  return (count + unit - 1) / unit;
}

// The levels of up to 16 rows, as the bytes of their chunks.
void interleave(const at::Tensor& levels, int bits, int zero, std::uint8_t* out) {
  const std::int64_t rows = levels.size(0), columns = levels.size(1);
  const std::int64_t in_chunk = chunk_columns(bits);
  const auto* level = levels.const_data_ptr<std::int8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t k = 0; k < columns; ++k) {
      const std::int64_t place = k % in_chunk;
      const auto code = static_cast<unsigned>(level[row * columns + k] + zero);
      out[k / in_chunk * kChunkBytes + 4 * row + place % 4] |= static_cast<std::uint8_t>(code << (bits * (place / 4)));
    }
  }
}

// [rows, groups] as [blocks, groups, 16]; one scale for all, or one a row, is repeated.
at::Tensor by_blocks(const at::Tensor& values, std::int64_t rows, std::int64_t groups) {
  const std::int64_t blocks = whole(rows, kBlockRows);
  const at::Tensor table = values.to(at::kCPU).reshape({values.dim() == 1 ? 1 : rows, -1}).expand({rows, groups});
  at::Tensor padded = at::zeros({blocks * kBlockRows, groups}, table.options());
  padded.narrow(0, 0, rows).copy_(table);
  return padded.view({blocks, kBlockRows, groups}).transpose(1, 2).contiguous();
}

// `part` against one of its type and shape.
void check_part(const std::string& what, const at::Tensor& part, const at::Tensor& expected) {
  const auto require = [&](bool sound, const std::string& reason) {
    if (!sound) throw DataError("the " + what + " of a packed matrix are not what its format has", reason);
  };
  require(part.defined() == expected.defined(), part.defined() ? "it has none" : "they are missing");
  if (!expected.defined()) return;
  require(part.scalar_type() == expected.scalar_type(),
          std::string("their type is ") + c10::toString(part.scalar_type()));
  require(part.sizes() == expected.sizes(), "their shape does not fit the matrix's");
  require(part.is_cpu() && part.is_contiguous(), "they are not contiguous in memory");
  require(reinterpret_cast<std::uintptr_t>(part.const_data_ptr()) % kPartAlignment == 0,
          "they do not begin at a multiple of " + std::to_string(kPartAlignment) + " bytes");
}

StoredTensor rows_of(const StoredTensor& stored, std::int64_t begin, std::int64_t count) {
  StoredTensor part = stored;
  part.shape[0] = count;
  part.codes = stored.codes.narrow(0, begin, count);
  return part;
}

}  // namespace

std::string PackedMatrix::refusal(const FormatSpec& spec, std::int64_t columns, const std::string& device) {
  if (!spec.format->is_grid()) return spec.format->name() + " has no levels";
  if (columns > kWidest) return "rows of " + std::to_string(columns) + " columns could overflow 32-bit sums";
  const std::int64_t group = group_columns_of(spec, columns), unit = chunk_columns(kernel_bits(spec));
  if (group < columns && group % unit != 0) {
    return "groups of " + std::to_string(group) + " are no multiple of " + std::to_string(unit);
  }
  return device == "cpu" ? "" : device_refusal(device, group, columns);
}

PackedMatrix::PackedMatrix(const FormatSpec& spec, std::int64_t rows, std::int64_t columns)
    : rows_(rows), columns_(columns) {
  const std::string why = refusal(spec, columns_);
  if (!why.empty()) throw DataError("there are no kernels for a matrix in this form", why, "dequantize it");
  group_columns_ = group_columns_of(spec, columns_);
  bits_ = kernel_bits(spec);
  zero_ = -spec.format->levels(spec.symmetric).lowest;
  if (bits_ == 8) zero_ = 128;  // what the AVX2 kernels for bytes take
}

PackedParts PackedMatrix::unfilled_parts(const FormatSpec& spec, std::int64_t rows, std::int64_t columns) {
  const PackedMatrix matrix(spec, rows, columns);
  const auto part = [](at::IntArrayRef shape, at::ScalarType type) {
    return at::empty(shape, at::TensorOptions(type).device(at::kMeta));
  };
  const std::int64_t blocks = whole(rows, kBlockRows), chunks = whole(columns, chunk_columns(matrix.bits_));
  PackedParts parts{
      part({blocks, chunks, kChunkBytes}, at::kByte), part({blocks, matrix.groups(), kBlockRows}, at::kHalf), {}};
  if (!spec.symmetric) parts.zero_points = part({blocks, matrix.groups(), kBlockRows}, at::kChar);
  return parts;
}

PackedMatrix::PackedMatrix(const FormatSpec& spec, std::int64_t rows, std::int64_t columns, const PackedParts& parts)
    : PackedMatrix(spec, rows, columns) {
  const PackedParts expected = unfilled_parts(spec, rows, columns);
  check_part("codes", parts.codes, expected.codes);
  check_part("scales", parts.scales, expected.scales);
  check_part("zero points", parts.zero_points, expected.zero_points);
  codes_ = parts.codes;
  scales_ = parts.scales;
  zero_points_ = parts.zero_points;
}

PackedMatrix::PackedMatrix(const StoredTensor& stored)
    : PackedMatrix(stored.spec, stored.shape.at(0), stored.shape.at(1)) {
  const std::int64_t blocks = whole(rows_, kBlockRows), chunks = whole(columns_, chunk_columns(bits_));
  codes_ = at::zeros({blocks, chunks, kChunkBytes}, at::kByte);
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = block * kBlockRows;
    const at::Tensor levels = unpack_levels(rows_of(stored, first, std::min(kBlockRows, rows_ - first)));
    interleave(levels, bits_, zero_, codes_.select(0, block).mutable_data_ptr<std::uint8_t>());
  }
  const PackedParts tables = tables_of(stored);
  scales_ = tables.scales;
  zero_points_ = tables.zero_points;
}

PackedParts PackedMatrix::tables_of(const StoredTensor& stored) {
  const PackedMatrix matrix(stored.spec, stored.shape.at(0), stored.shape.at(1));
  PackedParts tables{{}, by_blocks(stored.scales, matrix.rows_, matrix.groups()), {}};
  if (stored.zero_points.defined()) {
    const at::Tensor zeros = stored.zero_points.to(at::kShort) - stored.spec.format->layout().zero;
    tables.zero_points = by_blocks(zeros.to(at::kChar), matrix.rows_, matrix.groups());
  }
  return tables;
}

kernels::Operands PackedMatrix::operands() const {
  Operands operands;
  operands.codes = codes_.const_data_ptr<std::uint8_t>();
  operands.scales = reinterpret_cast<const std::uint16_t*>(scales_.const_data_ptr<at::Half>());
  if (zero_points_.defined()) operands.zero_points = zero_points_.const_data_ptr<std::int8_t>();
  operands.chunks = codes_.size(1);
  operands.groups = groups();
  operands.chunks_per_group = operands.groups == 1 ? operands.chunks : group_columns_ / chunk_columns(bits_);
  operands.bits = bits_;
  operands.zero = zero_;
  return operands;
}

PackedMatrix PackedMatrix::to(const std::string& device) const {
  const at::Device target(device);
  const std::string why = target.is_cpu() ? "" : device_refusal(device, group_columns_, columns_);
  if (!why.empty()) throw ConfigError("a packed matrix cannot be multiplied on " + device, why, "choose the CPU");
  PackedMatrix moved = *this;
  for (at::Tensor* part : {&moved.codes_, &moved.scales_, &moved.zero_points_}) {
    if (part->defined()) *part = part->to(target);
  }
  return moved;
}

at::Tensor PackedMatrix::values_of_rows(const at::Tensor& indices) const {
  if (!codes_.is_cpu()) return DeviceProduct::rows(*this, indices);
  const std::int64_t in_chunk = chunk_columns(bits_), chunks = codes_.size(1);
  const unsigned mask = (1u << bits_) - 1;
  at::Tensor values = at::empty({indices.numel(), columns_}, at::kFloat);
  const auto* index = indices.const_data_ptr<std::int64_t>();
  const auto* codes = codes_.const_data_ptr<std::uint8_t>();
  const auto* scales = scales_.const_data_ptr<at::Half>();
  const auto* zeros = zero_points_.defined() ? zero_points_.const_data_ptr<std::int8_t>() : nullptr;
  auto* out = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    if (index[i] < 0 || index[i] >= rows_) throw DataError("there is no row " + std::to_string(index[i]));
    const std::int64_t block = index[i] / kBlockRows, row = index[i] % kBlockRows;
    for (std::int64_t k = 0; k < columns_; ++k) {
      const std::int64_t field = k % in_chunk;
      const unsigned byte = codes[(block * chunks + k / in_chunk) * kChunkBytes + 4 * row + field % 4];
      const std::int64_t place = (block * groups() + k / group_columns_) * kBlockRows + row;
      const int zero = zero_ + (zeros == nullptr ? 0 : zeros[place]);
      const int steps = static_cast<int>(byte >> (bits_ * (field / 4)) & mask) - zero;
      *out++ = static_cast<float>(at::Half(static_cast<float>(steps) * static_cast<float>(scales[place])));
    }
  }
  return values;
}

std::uint64_t PackedMatrix::bytes() const {
  return codes_.nbytes() + scales_.nbytes() + (zero_points_.defined() ? zero_points_.nbytes() : 0);
}

}  // namespace tercet
