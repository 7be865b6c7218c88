// Plain values as a pickle of protocol 2 that PyTorch's weights_only unpickler accepts. Strings and names are written
// once and referred to afterwards, so that hundreds of small tensors cost little more than their numbers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tercet/model_io/torch_file.hpp"

namespace tercet {

class PickleWriter {
 public:
  // The bytes of record data/<index>; `keep` owns them, or is a deferred tensor (on the meta device), without any yet.
  struct Storage {
    at::Tensor keep;
    const void* data = nullptr;
    std::size_t bytes = 0;
  };

  explicit PickleWriter(const TorchValue& value);

  const std::string& pickle() const { return out_; }
  const std::vector<Storage>& storages() const { return storages_; }

 private:
  using StorageKey = std::pair<const void*, c10::ScalarType>;

  void count_storages(const TorchValue& value);
  void value(const TorchValue& value);
  void dict(const TorchDict& dict);
  void list(const TorchList& list);
  void text(std::string_view text);
  void global(const std::string& module_and_name);
  void integer(std::int64_t number);
  void real(double number);
  void integers(at::IntArrayRef numbers);
  void tensor(const at::Tensor& tensor);
  void storage(std::string_view storage_class, std::size_t index, std::int64_t elements);
  bool recall(const std::string& what);
  void memorise(const std::string& what);
  void opcode(unsigned char code) { out_.push_back(static_cast<char>(code)); }
  void fixed(const void* bytes, std::size_t count) { out_.append(static_cast<const char*>(bytes), count); }

  std::string out_;
  std::vector<Storage> storages_;
  std::map<StorageKey, int> uses_;                    // tensors over one storage
  std::map<StorageKey, std::size_t> shared_indices_;  // records of storages that several tensors use
  std::map<std::string, std::uint32_t> memo_;
};

}  // namespace tercet
