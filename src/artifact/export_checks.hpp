// The independent check, in parts: what the packed codes stand for, by a decoder of its own, and one reader for each
// kind of file that was made of them. None of it shares code with the writers; a reader is written from the
// documentation of its format.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tercet/artifact/packed_model.hpp"

namespace tercet {

using Findings = std::vector<std::string>;

// value = (code - zero point) x scale, rounded once to fp16, from the layout of the packed file; [out, in].
at::Tensor decode_stored(const StoredTensor& stored);
// int8 [out, in], code - code of level 0, from the same layout; of a grid.
at::Tensor decode_levels(const StoredTensor& stored);

// Counts the places where a value of a file, rounded to fp16, is another than the packed codes stand for (zeros may
// differ in sign), and says so in the end.
class ValueComparison {
 public:
  explicit ValueComparison(const at::Tensor& expected)  // fp16, contiguous
      : wanted_(expected.const_data_ptr<c10::Half>()), count_(expected.numel()) {}
  void add(std::int64_t index, float value) {
    different_ += static_cast<float>(c10::Half(value)) != static_cast<float>(wanted_[index]);
  }
  void report(const std::string& tensor, const std::string& file, Findings& findings) const;

 private:
  const c10::Half* wanted_;
  std::int64_t count_, different_ = 0;
};

// One for each export, in the file of its name: `path` is the file or folder under comparison. Throw Error for a file
// that cannot be read at all.
void check_gguf(const std::filesystem::path& path, const PackedModel& model, Findings& findings);
void check_hf_bitnet(const std::filesystem::path& path, const PackedModel& model, Findings& findings);
void check_compressed_tensors(const std::filesystem::path& path, const PackedModel& model, Findings& findings);
void check_kernels(const std::filesystem::path& path, const PackedModel& model, Findings& findings);

}  // namespace tercet
