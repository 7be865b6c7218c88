// Small packed models and folders that vanish.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tercet/artifact/packed_model.hpp"

namespace tercet::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tercet-artifact-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Values that repeat from run to run and fill the range of a weight.
at::Tensor some_weight(std::vector<std::int64_t> shape, int seed);

PackedModel tiny_llama(bool tied = true);  // all parameters of a model of one layer: transformers loads it
PackedModel tiny_gpt2();                   // all parameters, Conv1D weights input_first

// Writes every file that verify_artifacts looks at, with a true compression_metadata.json.
void write_artifacts(const std::filesystem::path& folder, const PackedModel& model);
void write_metadata(const std::filesystem::path& folder);

#define EXPECT_MENTIONS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

}  // namespace tercet::testing
