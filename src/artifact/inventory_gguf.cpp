// The inventory of a GGUF file, through the reader of the independent check.
#include <ATen/ops/empty.h>

#include <map>

#include "gguf_view.hpp"
#include "inventory_parts.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using gguf_check::Block;
using gguf_check::TensorEntry;

// Zeros and scales of the blocks of a tensor.
void look_into(const TensorEntry& tensor, const std::uint8_t* bytes, const std::string& where, InventoryEntry& entry) {
  const Block block = gguf_check::block_of(tensor.type);
  const auto blocks = static_cast<std::int64_t>(entry.bytes / block.bytes);
  at::Tensor scales = at::empty({blocks}, at::kFloat);
  auto* scale = scales.mutable_data_ptr<float>();
  std::int64_t zeros = 0;
  for (std::int64_t i = 0; i < blocks; ++i, bytes += block.bytes) {
    if (i % 65536 == 0) heartbeat::beat();
    scale[i] = gguf_check::scale(tensor.type, bytes);
    for (std::uint64_t n = 0; n < block.values; ++n) zeros += gguf_check::element(tensor.type, bytes, n) == 0;
  }
  entry.sparsity = share(zeros, entry.elements());
  entry.scales = histogram_of(scales, entry.name, where);
}

}  // namespace

Inventory inventory_of_gguf(const fs::path& file) {
  const gguf_check::Container container(file);
  const auto found = container.texts.find("general.architecture");
  const std::string architecture = found == container.texts.end() ? "unnamed" : found->second;
  Inventory inventory{"gguf", "GGUF " + architecture + " model", {{"architecture", architecture}}, fs::file_size(file)};
  std::map<std::uint64_t, std::string> order;  // as they lie in the file: block after block
  for (const auto& [name, tensor] : container.tensors) order.emplace(tensor.offset, name);
  for (const auto& [offset, name] : order) {
    const TensorEntry& tensor = container.tensors.at(name);
    const Block block = gguf_check::block_of(tensor.type);
    InventoryEntry entry;
    entry.name = name;
    entry.format = block.name;
    entry.shape.assign(tensor.sizes.rbegin(), tensor.sizes.rend());
    entry.bytes = static_cast<std::uint64_t>(entry.elements()) / block.values * block.bytes;
    entry.is_parameter = name != "rope_freqs.weight";  // frequencies that config.json's numbers stand for elsewhere
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(container.data().data()) + offset;
    if (block.has_scale()) look_into(tensor, bytes, file.string(), entry);
    inventory.entries.push_back(entry);
  }
  return inventory;
}

}  // namespace tercet
