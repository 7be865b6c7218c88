// The independent check. It decodes the packed file from its documented layout alone and shares no arithmetic with the
// code that packed it: an error on one side cannot hide behind the same error on the other.
#include <ATen/ops/empty.h>

#include <cstring>
#include <map>

#include "stored_check.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using Findings = std::vector<std::string>;
using TensorMap = std::map<std::string, at::Tensor>;

constexpr const char* kPacked = "bitnet_quantized_model.pt";
constexpr const char* kDequantized = "bitnet_dequantized_fp16.pt";
constexpr const char* kSafetensors = "hf/model.safetensors";
constexpr const char* kMetadata = "compression_metadata.json";
constexpr std::uintmax_t kMaxMetadataBytes = 256 << 20;

// Which scale belongs to an element: by its row and its column's group.
struct ScaleIndex {
  std::int64_t per_row = 0;  // scales in one row; 0: one for the whole tensor
  std::int64_t group = 1;    // columns under one scale
  std::int64_t of(std::int64_t row, std::int64_t column) const {
    return per_row == 0 ? 0 : row * per_row + column / group;
  }
};

ScaleIndex scale_index(const StoredTensor& stored) {
  const std::int64_t columns = stored.shape[1];
  switch (stored.spec.granularity) {
    case Granularity::kTensor:
      return {0, 1};
    case Granularity::kChannel:
      return {1, columns};
    case Granularity::kGroup:
      break;
  }
  return {(columns + stored.spec.group_size - 1) / stored.spec.group_size, stored.spec.group_size};
}

// Code j of a row, from the documented layout, a bit or a digit at a time.
int code_at(const std::uint8_t* row, std::int64_t j, const CodeLayout& layout) {
  if (layout.digits > 0) {
    int byte = row[j / layout.digits];
    for (std::int64_t k = 0; k < j % layout.digits; ++k) byte /= 3;
    return byte % 3;
  }
  int code = 0;
  for (std::int64_t bit = j * layout.bits; bit < (j + 1) * layout.bits; ++bit)
    code |= (row[bit / 8] >> bit % 8 & 1) << (bit - j * layout.bits);
  return layout.type == at::kChar ? static_cast<std::int8_t>(code) : code;
}

// Zero points, as codes: of symmetric tensors the code of level 0.
std::vector<int> zero_codes(const StoredTensor& stored, const CodeLayout& layout) {
  std::vector<int> zeros(static_cast<std::size_t>(stored.scales.numel()), layout.zero);
  if (!stored.zero_points.defined()) return zeros;
  const auto* bytes = static_cast<const std::uint8_t*>(stored.zero_points.const_data_ptr());
  for (std::size_t i = 0; i < zeros.size(); ++i)
    zeros[i] = layout.type == at::kChar ? static_cast<std::int8_t>(bytes[i]) : bytes[i];
  return zeros;
}

// value = (code - zero point) x scale, rounded once.
at::Tensor decode(const PackedTensor& tensor) {
  const StoredTensor& stored = tensor.stored;
  if (!stored.spec.format->is_grid()) return tensor.input_first ? stored.codes.t().contiguous() : stored.codes;
  const CodeLayout layout = stored.spec.format->layout();
  const std::int64_t rows = stored.shape[0], columns = stored.shape[1], row_bytes = stored.codes.size(1);
  const ScaleIndex index = scale_index(stored);
  const std::vector<int> zeros = zero_codes(stored, layout);
  const auto* bytes = static_cast<const std::uint8_t*>(stored.codes.const_data_ptr());
  const auto* scales = stored.scales.const_data_ptr<c10::Half>();
  at::Tensor values = at::empty({tensor.input_first ? columns : rows, tensor.input_first ? rows : columns}, at::kHalf);
  auto* out = values.mutable_data_ptr<c10::Half>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int64_t block = index.of(i, j);
      const int steps = code_at(bytes + i * row_bytes, j, layout) - zeros[static_cast<std::size_t>(block)];
      const float value = static_cast<float>(steps) * static_cast<float>(scales[block]);
      out[tensor.input_first ? j * rows + i : i * columns + j] = c10::Half(value);
    }
  }
  return values;
}

// What differs between one tensor of a file and what the packed codes stand for; "" if nothing does.
std::string difference(const at::Tensor& expected, const at::Tensor& found) {
  if (found.scalar_type() != at::kHalf) return "is not float16";
  if (found.sizes() != expected.sizes()) return "has another shape than its packed codes";
  const at::Tensor dense = found.contiguous();
  const auto* wanted = static_cast<const std::uint16_t*>(expected.const_data_ptr());
  const auto* given = static_cast<const std::uint16_t*>(dense.const_data_ptr());
  std::int64_t different = 0;
  for (std::int64_t i = 0; i < expected.numel(); ++i) different += wanted[i] != given[i];
  if (different == 0) return "";
  return "differs from its packed codes in " + std::to_string(different) + " of " + std::to_string(expected.numel()) +
         " values";
}

// One file under comparison: its tensors (views of the mapping) and how it is called in findings.
struct Export {
  std::string file;
  TensorMap tensors;
};

// Takes the tensor out of the export, so that what is left at the end is superfluous.
void compare(Export& other, const std::string& name, const at::Tensor& expected, Findings& findings) {
  const auto found = other.tensors.find(name);
  const std::string what = found == other.tensors.end() ? "is missing" : difference(expected, found->second);
  if (!what.empty()) findings.push_back("tensor '" + name + "' of " + other.file + " " + what);
  if (found != other.tensors.end()) other.tensors.erase(found);
}

void report_superfluous(const Export& other, Findings& findings) {
  for (const auto& [name, tensor] : other.tensors) {
    findings.push_back("tensor '" + name + "' of " + other.file + " is not in the packed model");
  }
}

TensorMap torch_tensors(const fs::path& file) {
  const TorchValue value = read_torch_file(file);
  const auto* dict = std::get_if<TorchDict>(&value);
  if (dict == nullptr) throw DataError("'" + file.string() + "' holds no dict of tensors");
  TensorMap tensors;
  for (const auto& [name, entry] : *dict) {
    const auto* tensor = std::get_if<at::Tensor>(&entry);
    if (tensor == nullptr) throw DataError("entry '" + name + "' of '" + file.string() + "' is not a tensor");
    tensors[name] = *tensor;
  }
  return tensors;
}

TensorMap safetensors_tensors(const fs::path& file) {
  const auto source = open_safetensors(file);
  TensorMap tensors;
  for (const auto& [name, info] : source->tensors()) tensors[name] = source->tensor(name);
  return tensors;
}

void check_hashes(const fs::path& folder, Findings& findings) {
  const auto metadata = parse_json_object(read_file(folder / kMetadata, kMaxMetadataBytes), kMetadata);
  const auto files = metadata.find("files");
  if (files == metadata.end() || !files->is_object()) {
    findings.push_back(std::string(kMetadata) + " has no list of files with their SHA-256");
    return;
  }
  for (const char* required : {kPacked, kDequantized, kSafetensors}) {
    if (!files->contains(required)) findings.push_back(std::string(kMetadata) + " gives no SHA-256 of " + required);
  }
  for (const auto& [name, hash] : files->items()) {
    const fs::path file = path_inside(folder, name);
    if (!fs::is_regular_file(file)) {
      findings.push_back(name + " is listed in " + kMetadata + ", but does not exist");
    } else if (hash != sha256_file(file)) {
      findings.push_back(name + " has another SHA-256 than " + kMetadata + " gives");
    }
  }
}

void check_contents(const fs::path& folder, Findings& findings) {
  const PackedModel model = read_packed_model(folder / kPacked);
  Export standard{kSafetensors, safetensors_tensors(folder / kSafetensors)};
  Export state{kDequantized, torch_tensors(folder / kDequantized)};
  const PackedTensor* tied = tied_embedding(model);
  for (const PackedTensor& tensor : model.tensors) {
    heartbeat::beat();
    const at::Tensor values = decode(tensor);
    compare(standard, tensor.name, values, findings);
    compare(state, tensor.name, values, findings);
    if (&tensor == tied) compare(state, exported_head_name(model.config.family), values, findings);
  }
  report_superfluous(standard, findings);
  report_superfluous(state, findings);
  const ModelConfig exported = read_model_config(folder / "hf");
  if (exported.family != model.config.family || exported.vocab_size != model.config.vocab_size ||
      exported.tied_head != model.config.tied_head) {
    findings.push_back("hf/config.json describes another model than the packed one");
  }
}

}  // namespace

std::vector<std::string> verify_artifacts(const fs::path& folder) {
  Findings findings;
  for (const auto check : {check_contents, check_hashes}) {
    try {
      check(folder, findings);
    } catch (const Error& error) {
      findings.emplace_back(error.what());
    }
  }
  return findings;
}

}  // namespace tercet
