// One safetensors file: u64 header length, JSON header, data. The layout is checked as the format's own reader does:
// header within bounds, no name twice, shape x element size = bytes, data covered exactly, in order, to the last byte.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "tercet/base/file.hpp"
#include "tercet/model_io/weights.hpp"

namespace tercet {

class SafetensorsFile final : public WeightSource {
 public:
  explicit SafetensorsFile(const std::filesystem::path& file);

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor tensor(const std::string& name) const override;
  std::uint64_t bytes() const override { return mapping_->bytes().size(); }
  std::vector<std::filesystem::path> files() const override { return {mapping_->path()}; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Extent {
    std::uint64_t begin;
    std::uint64_t end;
  };
  void read_metadata(const nlohmann::json& metadata);
  void read_entry(const std::string& name, const nlohmann::json& entry);
  Extent read_extent(const std::string& name, const nlohmann::json& entry) const;
  void check_coverage() const;
  [[noreturn]] void fail(const std::string& name, const std::string& reason) const;

  std::shared_ptr<const MappedFile> mapping_;
  std::span<const std::byte> data_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Extent> extents_;
};

}  // namespace tercet
