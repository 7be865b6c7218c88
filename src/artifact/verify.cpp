// The independent check. It decodes the packed file from its documented layout alone and shares no arithmetic with the
// code that packed it: an error on one side cannot hide behind the same error on the other. The exports for other
// programs each have a check of their own (export_checks.hpp).
#include <algorithm>
#include <iterator>
#include <map>

#include "export_checks.hpp"
#include "stored_check.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/memory.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using TensorMap = std::map<std::string, at::Tensor>;

constexpr const char* kPacked = "bitnet_quantized_model.pt";
constexpr const char* kDequantized = "bitnet_dequantized_fp16.pt";
constexpr const char* kFolder = "hf";
constexpr const char* kMetadata = "compression_metadata.json";

// Where an export lies, if it was asked for, and its check.
struct ExportCheck {
  const char* place;
  void (*check)(const fs::path&, const PackedModel&, Findings&);
};
constexpr ExportCheck kExportChecks[] = {{"model.gguf", check_gguf},
                                         {"hf-bitnet", check_hf_bitnet},
                                         {"compressed-tensors", check_compressed_tensors},
                                         {"kernels.safetensors", check_kernels}};

constexpr std::uintmax_t kMaxMetadataBytes = 256 << 20;

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

// One file of weights, or shards. A tensor keeps its file mapped.
Export folder_tensors(const fs::path& folder) {
  const auto source = open_weights(folder / kFolder);
  const bool whole = source->files().size() == 1;
  Export found{whole ? source->files().front().lexically_relative(folder).generic_string() : kFolder, {}};
  for (const auto& [name, info] : source->tensors()) found.tensors[name] = source->tensor(name);
  return found;
}

// Every file of the place, by its path below `folder`.
void list_files(const fs::path& folder, const char* place, std::vector<std::string>& names) {
  if (fs::is_regular_file(folder / place)) names.emplace_back(place);
  if (!fs::is_directory(folder / place)) return;
  for (const auto& entry : fs::recursive_directory_iterator(folder / place)) {
    if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(folder).generic_string());
  }
}

// What the metadata must list, whether it is there or not.
std::vector<std::string> files_to_list(const fs::path& folder) {
  std::vector<std::string> names{kPacked, kDequantized};
  list_files(folder, kFolder, names);
  for (const ExportCheck& each : kExportChecks) list_files(folder, each.place, names);
  return names;
}

// Of everything in the metadata but the sum itself, as compact JSON with sorted keys.
void check_own_sum(nlohmann::json metadata, Findings& findings) {
  constexpr const char* kSum = "metadata_sha256";
  const nlohmann::json given = metadata.value(kSum, nlohmann::json());
  metadata.erase(kSum);
  if (given != sha256_hex(std::string_view(metadata.dump()))) {
    findings.push_back(std::string(kMetadata) + " was changed: its " + kSum + " is not that of its content");
  }
}

void check_hashes(const fs::path& folder, Findings& findings) {
  const auto metadata = parse_json_object(read_file(folder / kMetadata, kMaxMetadataBytes), kMetadata);
  check_own_sum(metadata, findings);
  const auto files = metadata.find("files");
  if (files == metadata.end() || !files->is_object()) {
    findings.push_back(std::string(kMetadata) + " has no list of files with their SHA-256");
    return;
  }
  for (const std::string& name : files_to_list(folder)) {
    if (!files->contains(name)) findings.push_back(std::string(kMetadata) + " gives no SHA-256 of " + name);
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
  Export standard = folder_tensors(folder);
  Export state{kDequantized, torch_tensors(folder / kDequantized)};
  const PackedTensor* tied = tied_embedding(model);
  for (const PackedTensor& tensor : model.tensors) {
    heartbeat::beat();
    const at::Tensor stored = decode_stored(tensor.stored);
    const at::Tensor values = tensor.input_first ? stored.t().contiguous() : stored;
    give_back_freed_memory(2 * values.nbytes());
    compare(standard, tensor.name, values, findings);
    compare(state, tensor.name, values, findings);
    if (&tensor == tied) compare(state, exported_head_name(model.config.family), values, findings);
  }
  report_superfluous(standard, findings);
  report_superfluous(state, findings);
  const ModelConfig exported = read_model_config(folder / kFolder);
  if (exported.family != model.config.family || exported.vocab_size != model.config.vocab_size ||
      exported.tied_head != model.config.tied_head) {
    findings.emplace_back("hf/config.json describes another model than the packed one");
  }
}

void check_exports_of(const fs::path& folder, Findings& findings) {
  if (std::none_of(std::begin(kExportChecks), std::end(kExportChecks),
                   [&](const ExportCheck& each) { return fs::exists(folder / each.place); }))
    return;
  const PackedModel model = read_packed_model(folder / kPacked);
  for (const ExportCheck& each : kExportChecks) {
    if (!fs::exists(folder / each.place)) continue;
    try {
      each.check(folder / each.place, model, findings);
    } catch (const Error& error) {
      findings.push_back(std::string(each.place) + ": " + error.what());
    } catch (const nlohmann::json::exception& error) {
      findings.push_back(std::string(each.place) + ": its settings are not what they should be: " + error.what());
    }
  }
}

}  // namespace

std::vector<std::string> verify_artifacts(const fs::path& folder) {
  Findings findings;
  for (const auto check : {check_contents, check_exports_of, check_hashes}) {
    try {
      check(folder, findings);
    } catch (const Error& error) {
      findings.emplace_back(error.what());
    }
  }
  return findings;
}

}  // namespace tercet
