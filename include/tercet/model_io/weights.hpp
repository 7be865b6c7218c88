// Weights of a model folder by name: model.safetensors, its shards by index, or pytorch_model.bin (sharded too).
// Files are memory-mapped and nothing in them can run; tensors keep the dtype on disk (F32, F16, BF16).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tercet/model_io/deferred_tensors.hpp"

namespace tercet {

struct TensorInfo {
  std::string dtype;  // safetensors names: "F32", "F16", "BF16", "I64", "U8", ...
  std::vector<std::int64_t> shape;
  std::filesystem::path file;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;
  // A view of the mapped file, read-only by convention: the caller copies before writing. It keeps the mapping alive.
  virtual at::Tensor tensor(const std::string& name) const = 0;  // throws DataError if absent
  virtual std::uint64_t bytes() const = 0;                       // of all weight files on disk
  virtual std::vector<std::filesystem::path> files() const = 0;
};

// Throws DataError naming file and tensor for anything malformed, StoreError when unreadable.
std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& folder);
std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& file);
// A .pt or .bin file of PyTorch that holds a flat dict of tensors, some of which may share memory.
std::unique_ptr<WeightSource> open_state_dict(const std::filesystem::path& file);
std::map<std::string, std::string> safetensors_metadata(
    const std::filesystem::path& file);  // throws as open_safetensors

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes tensors (F32, F16, BF16, U8, I8, I32, I64), wide elements first, to a temporary name, then renames; those of
// `deferred` are made as they are written. metadata values are strings; {"format": "pt"} is always added. The data
// begins at a multiple of `alignment` bytes in the file, and tensors follow each other without gaps.
void write_safetensors(const std::filesystem::path& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {}, const DeferredTensors& deferred = {},
                       std::size_t alignment = 8);
// Bytes of the file that write_safetensors makes; only names, types and shapes matter.
std::uint64_t safetensors_bytes(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata = {},
                                std::size_t alignment = 8);

}  // namespace tercet
