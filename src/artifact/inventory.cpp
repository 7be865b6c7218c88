#include "tercet/artifact/inventory.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "inventory_parts.hpp"
#include "kernel_layout.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

std::string first_bytes(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string magic(4, '\0');
  if (!stream) throw StoreError("cannot read '" + file.string() + "'");
  stream.read(magic.data(), 4);
  magic.resize(static_cast<std::size_t>(stream.gcount()));
  return magic;
}

Inventory inventory_of_torch_file(const fs::path& file) {
  const TorchValue root = read_torch_file(file);
  const auto* dict = std::get_if<TorchDict>(&root);
  if (dict == nullptr) throw DataError("'" + file.string() + "' is no model", "it holds no dict of tensors");
  const bool packed = std::any_of(dict->begin(), dict->end(), [](const auto& item) {
    return item.first == "format" && std::holds_alternative<std::string>(item.second);
  });
  return packed ? inventory_of_packed(root, file) : inventory_of_state_dict(file);
}

Inventory inventory_of_file(const fs::path& file) {
  const std::string extension = file.extension().string(), magic = first_bytes(file);
  if (magic == "GGUF" || extension == ".gguf") return inventory_of_gguf(file);
  if (magic.starts_with("PK") || extension == ".pt" || extension == ".bin") return inventory_of_torch_file(file);
  if (extension == ".safetensors")
    return safetensors_metadata(file).contains(kLayoutKey) ? inventory_of_kernels(file)
                                                           : inventory_of_safetensors(file);
  throw DataError("'" + file.string() + "' is no file of a model",
                  "it is neither a .pt or .bin file of PyTorch, nor safetensors, nor GGUF",
                  "give one of these, a Hugging Face folder, an artifact folder or a run");
}

}  // namespace

std::int64_t InventoryEntry::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::int64_t Inventory::parameters() const {
  std::int64_t count = 0;
  for (const InventoryEntry& entry : entries) {
    if (entry.is_parameter && entry.shared_with.empty()) count += entry.elements();
  }
  return count;
}

ScaleHistogram histogram_of(const at::Tensor& scales, const std::string& tensor, const std::string& where) {
  const at::Tensor magnitudes = scales.to(at::kFloat).abs().contiguous();
  const float* begin = magnitudes.const_data_ptr<float>();
  const float* end = begin + magnitudes.numel();
  ScaleHistogram histogram;
  if (begin == end) return histogram;
  if (!std::all_of(begin, end, [](float scale) { return std::isfinite(scale); }))
    throw DataError("tensor '" + tensor + "' of '" + where + "' has scales that are not finite", "the file is damaged");
  const auto [smallest, largest] = std::minmax_element(begin, end);
  histogram.count = static_cast<std::uint64_t>(end - begin);
  histogram.smallest = *smallest;
  histogram.largest = *largest;
  const std::size_t last = histogram.buckets.size() - 1;
  const double range = static_cast<double>(*largest) - static_cast<double>(*smallest);
  for (const float* scale = begin; scale != end; ++scale) {
    const double place = range == 0 ? 0 : (static_cast<double>(*scale) - static_cast<double>(*smallest)) / range;
    ++histogram.buckets[std::min(last, static_cast<std::size_t>(place * static_cast<double>(last + 1)))];
  }
  return histogram;
}

nlohmann::json summary_of(const ModelConfig& config) {
  return {{"family", to_string(config.family)}, {"layers", config.layers},
          {"hidden_size", config.hidden_size},  {"heads", config.heads},
          {"kv_heads", config.kv_heads},        {"vocab_size", config.vocab_size},
          {"tied_head", config.tied_head},      {"max_positions", config.max_positions}};
}

Inventory take_inventory(const fs::path& path) {
  return fs::is_directory(path) ? inventory_of_folder(path) : inventory_of_file(path);
}

}  // namespace tercet
