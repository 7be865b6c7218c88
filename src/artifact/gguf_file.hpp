// The container GGUF, version 3 (ggml's docs/gguf.md): keys with values, a table of tensors, and their data, aligned.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tercet {

using GgufValue = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::string>, std::vector<float>,
                               std::vector<std::int32_t>>;

struct GgufTensor {
  std::string name;                  // less than 64 bytes
  std::vector<std::int64_t> shape;   // [out, in] as everywhere here; the file has it the other way round
  std::uint32_t type = 0;            // ggml's number
  std::uint64_t bytes = 0;           // of its data
  std::function<at::Tensor()> make;  // contiguous, of so many bytes; called when it is written
};

struct GgufFile {
  std::vector<std::pair<std::string, GgufValue>> keys;
  std::vector<GgufTensor> tensors;
  void set(const std::string& key, GgufValue value) { keys.emplace_back(key, std::move(value)); }
};

// Under a temporary name, then renamed; tensors are made one after the other. Throws StoreError, or DataError for a
// tensor that is not what its entry says.
void write_gguf(const std::filesystem::path& file, const GgufFile& content);

}  // namespace tercet
