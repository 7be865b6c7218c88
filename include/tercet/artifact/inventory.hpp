// Inventory: what a file or folder of a model holds, tensor by tensor, in whatever format it is. No more than one
// tensor is unpacked at a time.
//
//   packed              bitnet_quantized_model.pt
//   state-dict          bitnet_dequantized_fp16.pt, pytorch_model.bin
//   huggingface         a Hugging Face folder of plain weights, or a safetensors file of one
//   hf-bitnet, compressed-tensors   such a folder with quantized weights
//   gguf                a GGUF file of the types that gguf_view.hpp knows
//   kernels             kernels.safetensors, beside its packed file
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tercet {

// Magnitudes of scales, in buckets of equal width from the smallest to the largest.
struct ScaleHistogram {
  std::uint64_t count = 0;
  float smallest = 0, largest = 0;
  std::array<std::uint64_t, 8> buckets{};
};

struct InventoryEntry {
  std::string name;                 // as the file calls it
  std::string format;               // of its weights: "ternary", "int8", "TQ2_0", "F16", ...
  std::vector<std::int64_t> shape;  // of its weights, as the file has them
  std::uint64_t bytes = 0;          // codes, scales and whatever else the file holds for it
  std::optional<double> sparsity;   // share of weights that are 0, where weights are levels
  std::optional<ScaleHistogram> scales;
  std::string role;          // of a packed file
  std::string shared_with;   // the entry that has its memory; not empty: it adds neither bytes nor parameters
  bool is_parameter = true;  // false: a table that the model's parameters do not have

  std::int64_t elements() const;
};

struct Inventory {
  std::string kind;         // as above
  std::string title;        // "packed llama model"
  nlohmann::json about;     // what else the file says of the model, or an empty object
  std::uint64_t bytes = 0;  // of the file, or of all weight files of the folder
  bool whole = true;        // false: only a part of the model
  std::vector<InventoryEntry> entries{};

  std::int64_t parameters() const;
};

// Of a file, told by its content, or of a Hugging Face folder. Throws DataError for what it is not, or what is damaged.
Inventory take_inventory(const std::filesystem::path& path);

}  // namespace tercet
