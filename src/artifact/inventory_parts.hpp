// The inventories of single formats, and what they share.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "tercet/artifact/inventory.hpp"
#include "tercet/model_io/model_config.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {

// Throws DataError naming `tensor` and `where` for scales that are not finite: the file is damaged.
ScaleHistogram histogram_of(const at::Tensor& scales, const std::string& tensor, const std::string& where);
nlohmann::json summary_of(const ModelConfig& config);
inline double share(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Inventory inventory_of_packed(const TorchValue& root, const std::filesystem::path& file);
Inventory inventory_of_state_dict(const std::filesystem::path& file);
Inventory inventory_of_kernels(const std::filesystem::path& file);
Inventory inventory_of_gguf(const std::filesystem::path& file);
Inventory inventory_of_folder(const std::filesystem::path& folder);  // with a config.json
Inventory inventory_of_safetensors(const std::filesystem::path& file);

}  // namespace tercet
