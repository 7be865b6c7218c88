#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "dtype.hpp"
#include "tercet/base/error.hpp"
#include "tercet/model_io/staged_file.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {
namespace {

// The data may have no gaps, so wide elements come first: then every tensor starts at a multiple of its element size.
NamedTensors by_width(NamedTensors tensors) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto& a, const auto& b) { return a.second.element_size() > b.second.element_size(); });
  return tensors;
}

// Filled up with spaces, so that the data behind it begins at a multiple of `alignment`.
std::string header_of(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata,
                      const std::string& where, std::size_t alignment) {
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  std::set<std::string> names{"__metadata__"};
  std::size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) throw DataError("tensor '" + name + "' would be twice in '" + where + "'");
    header[name] = {{"dtype", safetensors_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  std::string text = header.dump();
  const std::size_t begin = sizeof(std::uint64_t) + text.size();
  text.append((alignment - begin % alignment) % alignment, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata, const DeferredTensors& deferred,
                       std::size_t alignment) {
  const NamedTensors ordered = by_width(tensors);
  const std::string header = header_of(ordered, metadata, file.string(), alignment);
  const std::uint64_t length = header.size();
  StagedFile staged(file);
  staged.write(&length, sizeof(length));
  staged.write(header);
  for (const auto& [name, tensor] : ordered) {
    const at::Tensor dense = deferred.values(tensor);
    staged.write(dense.const_data_ptr(), dense.nbytes());
  }
  staged.publish();
}

std::uint64_t safetensors_bytes(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata,
                                std::size_t alignment) {
  std::uint64_t bytes = sizeof(std::uint64_t) + header_of(by_width(tensors), metadata, "safetensors", alignment).size();
  for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes();
  return bytes;
}

}  // namespace tercet
