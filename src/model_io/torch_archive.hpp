// The zip side of a torch.save file: records by name, storages as tensors over the mapped file.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tercet/base/file.hpp"

namespace caffe2::serialize {
class PyTorchStreamReader;
}

namespace tercet {

class TorchArchive {
 public:
  explicit TorchArchive(const std::filesystem::path& file);  // throws StoreError, DataError
  ~TorchArchive();

  std::string pickle() const { return pickle_; }
  // The storage of record data/<key>: 1-D, `elements` of `type`. The same key gives views of the same memory.
  at::Tensor storage(const std::string& key, c10::ScalarType type, std::int64_t elements);
  // Throws DataError where the bytes of a record have another CRC-32 than the zip archive gives; what is mapped is not
  // looked at otherwise.
  void check_sums();
  std::string where() const { return mapping_->path().string(); }

 private:
  void check_kind() const;
  std::string record_text(const std::string& name, std::uint64_t limit);
  at::Tensor load(const std::string& record, c10::ScalarType type, std::int64_t elements);

  std::shared_ptr<const MappedFile> mapping_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
  std::string pickle_;
  std::uint64_t unpacked_ = 0;  // bytes of records that were copied, not mapped
  std::map<std::pair<std::string, c10::ScalarType>, at::Tensor> storages_;
};

}  // namespace tercet
