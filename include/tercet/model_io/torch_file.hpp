// PyTorch zip files (.pt, .bin): a restricted reader that runs nothing, and a writer whose files load with plain
// torch.load(path) (weights_only=True, the default since PyTorch 2.6).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "tercet/model_io/deferred_tensors.hpp"

namespace tercet {

// What such a file may hold: a tree of plain values.
struct TorchValue;
using TorchDict = std::vector<std::pair<std::string, TorchValue>>;  // insertion order kept
using TorchList = std::vector<TorchValue>;
struct TorchValue
    : std::variant<std::monostate, bool, std::int64_t, double, std::string, at::Tensor, TorchList, TorchDict> {
  using variant::variant;
};

// Reads a zip-format file made by torch.save: dicts, OrderedDicts, lists, tuples, numbers, strings, tensors and
// parameters. Every other type is refused with a DataError that names it. Tensors view the mapped file where stored
// uncompressed. Limits: pickle <= 64 MB, nesting <= 64, unpacked records <= 8 times the file; texts are UTF-8; no
// tensor has more elements than its storage.
TorchValue read_torch_file(const std::filesystem::path& file);

// Reads every byte of the file, and throws DataError where those of a record are not the ones that were written.
void check_torch_file(const std::filesystem::path& file);

// Writes dicts, lists, scalars, strings and tensors; those of `deferred` are made as they are written. Temporary name,
// fsync, rename. Throws StoreError.
void write_torch_file(const std::filesystem::path& file, const TorchValue& value, const DeferredTensors& deferred = {});

// Bytes of the file that write_torch_file makes of `value`; only shapes matter, no tensor's content is read. Exact
// below 4 GB; above, some fields are wider and a hundred bytes per tensor may be missing.
std::uint64_t torch_file_bytes(const TorchValue& value);

// The entry of a dict; throws DataError naming `where` if absent or of another type.
const TorchValue& torch_entry(const TorchDict& dict, const std::string& key, const std::string& where);

}  // namespace tercet
