#include "tercet/artifact/kernel_file.hpp"

#include "kernel_layout.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// Why the file cannot stand for the packed one; empty: it can.
std::string staleness(const std::map<std::string, std::string>& metadata, const fs::path& packed_file,
                      const std::string& packed_sha256) {
  const auto value = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : found->second;
  };
  const std::string version = value(kLayoutKey);
  if (version != std::to_string(kPartsVersion)) {
    return "it has version '" + version + "' of the kernels' order, and this program computes with version " +
           std::to_string(kPartsVersion);
  }
  const std::string hash = packed_sha256.empty() ? sha256_file(packed_file) : packed_sha256;
  return value(kMadeOfKey) == hash ? "" : "it was made of another packed file";
}

}  // namespace

std::unique_ptr<KernelFile> KernelFile::open(const fs::path& packed_file, const std::string& packed_sha256,
                                             std::string& why_not) {
  const fs::path file = packed_file.parent_path() / kName;
  auto source = open_safetensors(file);
  why_not = staleness(safetensors_metadata(file), packed_file, packed_sha256);
  return why_not.empty() ? std::unique_ptr<KernelFile>(new KernelFile(std::move(source))) : nullptr;
}

std::unique_ptr<KernelFile> KernelFile::beside(const fs::path& packed_file, const std::string& packed_sha256) {
  const std::string name = (packed_file.parent_path() / kName).string();
  if (!fs::exists(name)) return nullptr;
  std::string why_not;
  auto kernels = open(packed_file, packed_sha256, why_not);
  if (!kernels) {
    log::warn("'" + name + "' is passed over: " + why_not + "; '" + packed_file.filename().string() +
              "' is put in order instead, which takes longer");
  }
  return kernels;
}

std::unique_ptr<KernelFile> KernelFile::of(const fs::path& packed_file) {
  const std::string name = (packed_file.parent_path() / kName).string();
  std::string why_not;
  auto kernels = open(packed_file, "", why_not);
  if (!kernels) {
    throw DataError("'" + name + "' does not belong to '" + packed_file.string() + "'", why_not,
                    "put it beside the packed file that it was made of");
  }
  return kernels;
}

std::shared_ptr<const PackedMatrix> KernelFile::matrix(const PackedTensor& tensor) const {
  const auto part = [&](const char* ending) {
    const std::string name = tensor.name + ending;
    return source_->tensors().contains(name) ? source_->tensor(name) : at::Tensor();
  };
  PackedParts parts{part(kCodesEnding), part(kScalesEnding), part(kZeroPointsEnding)};
  if (!parts.codes.defined() && !parts.scales.defined()) return nullptr;
  const StoredTensor& stored = tensor.stored;
  try {
    const PackedParts expected = PackedMatrix::unfilled_parts(stored.spec, stored.shape.at(0), stored.shape.at(1));
    parts.scales = without_fill(parts.scales, expected.scales.sizes());
    parts.zero_points = without_fill(parts.zero_points, expected.scales.sizes());
    return std::make_shared<const PackedMatrix>(stored.spec, stored.shape[0], stored.shape[1], parts);
  } catch (const DataError& error) {
    throw DataError("tensor '" + tensor.name + "' of '" + source_->files().front().string() + "' is not valid",
                    error.what(), "the file is damaged: remove it, and the packed file is used alone");
  }
}

}  // namespace tercet
