// kernels.safetensors: the matrices of a packed model in the order in which kernels/packed_matrix.hpp multiplies them,
// used where they lie in a mapping of the file. It lies beside the packed file that it was made of (export.formats:
// kernels). Layout: docs/formats.md.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tercet/artifact/packed_model.hpp"
#include "tercet/kernels/packed_matrix.hpp"

namespace tercet {

class KernelFile {
 public:
  static constexpr const char* kName = "kernels.safetensors";

  // The one beside `packed_file`. Null where there is none; or, with a word in the log, where it was made of another
  // packed file (by SHA-256) or holds another version of the order. Throws DataError where it is damaged. The packed
  // file is hashed for that, unless `packed_sha256` is given.
  static std::unique_ptr<KernelFile> beside(const std::filesystem::path& packed_file,
                                            const std::string& packed_sha256 = "");
  // The same, for those who cannot do without: throws DataError or StoreError where beside() would give null.
  static std::unique_ptr<KernelFile> of(const std::filesystem::path& packed_file);

  // Views of the mapping, which they keep; null for a matrix that the file does not hold. Throws DataError naming file
  // and tensor for parts that do not fit the stored form.
  std::shared_ptr<const PackedMatrix> matrix(const PackedTensor& tensor) const;

 private:
  // Null where it cannot stand for the packed file, and `why_not` says why.
  static std::unique_ptr<KernelFile> open(const std::filesystem::path& packed_file, const std::string& packed_sha256,
                                          std::string& why_not);
  explicit KernelFile(std::unique_ptr<WeightSource> source) : source_(std::move(source)) {}
  std::unique_ptr<WeightSource> source_;
};

}  // namespace tercet
