// Inventories of what the packed file describes: itself, and the kernel file beside it.
#include <ATen/ops/arange.h>

#include <algorithm>

#include "inventory_parts.hpp"
#include "packed_reader.hpp"
#include "tercet/artifact/kernel_file.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPackedOfKernels = "bitnet_quantized_model.pt";

InventoryEntry entry_of(const PackedTensor& tensor) {
  InventoryEntry entry;
  entry.name = tensor.name;
  entry.role = tensor.role;
  entry.format = tensor.stored.spec.format->name();
  entry.shape = tensor.stored.shape;
  return entry;
}

InventoryEntry packed_entry(const PackedTensor& tensor, const std::string& where) {
  heartbeat::beat();
  const StoredTensor& stored = tensor.stored;
  InventoryEntry entry = entry_of(tensor);
  entry.bytes = stored_bytes(stored);
  if (!stored.spec.format->is_grid()) return entry;
  // Without zero points a value is 0 where its level is, which takes a quarter of the memory to find out.
  const at::Tensor values = stored.spec.symmetric ? unpack_levels(stored) : dequantize(stored);
  give_back_freed_memory(values.nbytes());
  entry.sparsity = share(values.eq(0).sum().item<std::int64_t>(), entry.elements());
  entry.scales = histogram_of(stored.scales, entry.name, where);
  return entry;
}

std::int64_t zeros_of(const PackedMatrix& matrix) {
  constexpr std::int64_t kRowsAtOnce = 256;
  std::int64_t zeros = 0;
  for (std::int64_t row = 0; row < matrix.rows(); row += kRowsAtOnce) {
    const at::Tensor rows = at::arange(row, std::min(matrix.rows(), row + kRowsAtOnce), at::kLong);
    zeros += matrix.values_of_rows(rows).eq(0).sum().item<std::int64_t>();
  }
  return zeros;
}

// [blocks, groups, 16] as [rows, groups], without the rows that fill up the last block.
at::Tensor rows_of(const at::Tensor& table, std::int64_t rows) {
  return table.transpose(1, 2).flatten(0, 1).narrow(0, 0, rows);
}

InventoryEntry kernel_entry(const PackedTensor& tensor, const PackedMatrix& matrix, const std::string& where) {
  heartbeat::beat();
  InventoryEntry entry = entry_of(tensor);
  entry.bytes = matrix.bytes();
  entry.sparsity = share(zeros_of(matrix), entry.elements());
  entry.scales = histogram_of(rows_of(matrix.parts().scales, matrix.rows()), entry.name, where);
  return entry;
}

nlohmann::json about_packed(const PackedModel& model) {
  return {{"config", summary_of(model.config)},
          {"activation_bits", model.activation_bits},
          {"provenance", model.provenance}};
}

}  // namespace

Inventory inventory_of_packed(const TorchValue& root, const fs::path& file) {
  const std::uint64_t bytes = fs::file_size(file);
  const PackedModel model = packed_model_of(root, file.string(), bytes);
  Inventory inventory{"packed", "packed " + to_string(model.config.family) + " model", about_packed(model), bytes};
  for (const PackedTensor& tensor : model.tensors) inventory.entries.push_back(packed_entry(tensor, file.string()));
  return inventory;
}

Inventory inventory_of_kernels(const fs::path& file) {
  const fs::path packed = file.parent_path() / kPackedOfKernels;
  if (!fs::exists(packed) || file.filename() != KernelFile::kName) {
    throw DataError(
        "'" + file.string() + "' cannot be understood alone",
        std::string("formats and shapes of its matrices are in the ") + kPackedOfKernels + " that it was made of",
        std::string("put it beside that one, as ") + KernelFile::kName);
  }
  const auto kernels = KernelFile::of(packed);
  const PackedModel model = read_packed_model(packed, PackedCheck::kAllButCodes);
  Inventory inventory{"kernels", "kernels of a packed " + to_string(model.config.family) + " model",
                      about_packed(model), fs::file_size(file), false};
  for (const PackedTensor& tensor : model.tensors) {
    const auto matrix = kernels->matrix(tensor);
    if (matrix) inventory.entries.push_back(kernel_entry(tensor, *matrix, file.string()));
  }
  return inventory;
}

}  // namespace tercet
