// The decoder of the independent check: from the documented layout of the packed file alone (docs/formats.md).
#include <ATen/ops/empty.h>

#include "export_checks.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

// Which scale belongs to an element: by its row and its column's group.
struct ScaleIndex {
  std::int64_t per_row = 0;  // scales in one row; 0: one for the whole tensor
  std::int64_t group = 1;    // columns under one scale
  std::int64_t of(std::int64_t row, std::int64_t column) const {
    return per_row == 0 ? 0 : row * per_row + column / group;
  }
};

ScaleIndex scale_index(const StoredTensor& stored) {
  const std::int64_t columns = stored.shape[1];
  switch (stored.spec.granularity) {
    case Granularity::kTensor:
      return {0, 1};
    case Granularity::kChannel:
      return {1, columns};
    case Granularity::kGroup:
      break;
  }
  return {(columns + stored.spec.group_size - 1) / stored.spec.group_size, stored.spec.group_size};
}

// Code j of a row, from the documented layout, a bit or a digit at a time.
int code_at(const std::uint8_t* row, std::int64_t j, const CodeLayout& layout) {
  if (layout.digits > 0) {
    int byte = row[j / layout.digits];
    for (std::int64_t k = 0; k < j % layout.digits; ++k) byte /= 3;
    return byte % 3;
  }
  int code = 0;
  for (std::int64_t bit = j * layout.bits; bit < (j + 1) * layout.bits; ++bit)
    code |= (row[bit / 8] >> bit % 8 & 1) << (bit - j * layout.bits);
  return layout.type == at::kChar ? static_cast<std::int8_t>(code) : code;
}

// Zero points, as codes: of symmetric tensors the code of level 0.
std::vector<int> zero_codes(const StoredTensor& stored, const CodeLayout& layout) {
  std::vector<int> zeros(static_cast<std::size_t>(stored.scales.numel()), layout.zero);
  if (!stored.zero_points.defined()) return zeros;
  const auto* bytes = static_cast<const std::uint8_t*>(stored.zero_points.const_data_ptr());
  for (std::size_t i = 0; i < zeros.size(); ++i)
    zeros[i] = layout.type == at::kChar ? static_cast<std::int8_t>(bytes[i]) : bytes[i];
  return zeros;
}

}  // namespace

at::Tensor decode_stored(const StoredTensor& stored) {
  if (!stored.spec.format->is_grid()) return stored.codes.contiguous();
  const CodeLayout layout = stored.spec.format->layout();
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1], row_bytes = stored.codes.size(1);
  const ScaleIndex index = scale_index(stored);
  const std::vector<int> zeros = zero_codes(stored, layout);
  const auto* bytes = static_cast<const std::uint8_t*>(stored.codes.const_data_ptr());
  const auto* scales = stored.scales.const_data_ptr<c10::Half>();
  at::Tensor values = at::empty({rows, columns}, at::kHalf);
  auto* out = values.mutable_data_ptr<c10::Half>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t block = index.of(i, j);
      const int steps = code_at(bytes + i * row_bytes, j, layout) - zeros[static_cast<std::size_t>(block)];
      const float value = static_cast<float>(steps) * static_cast<float>(scales[block]);
      out[i * columns + j] = c10::Half(value);
    }
  }
  return values;
}

at::Tensor decode_levels(const StoredTensor& stored) {
  const CodeLayout layout = stored.spec.format->layout();
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1], row_bytes = stored.codes.size(1);
  const auto* bytes = static_cast<const std::uint8_t*>(stored.codes.const_data_ptr());
  at::Tensor levels = at::empty({rows, columns}, at::kChar);
  auto* out = levels.mutable_data_ptr<std::int8_t>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j)
      *out++ = static_cast<std::int8_t>(code_at(bytes + i * row_bytes, j, layout) - layout.zero);
  }
  return levels;
}

void ValueComparison::report(const std::string& tensor, const std::string& file, Findings& findings) const {
  if (different_ == 0) return;
  findings.push_back("tensor '" + tensor + "' of " + file + " differs from its packed codes in " +
                     std::to_string(different_) + " of " + std::to_string(count_) + " values");
}

}  // namespace tercet
