#include "hf_files.hpp"

#include <cstdio>

#include "model_parts.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

void copy_unread(const fs::path& from, const std::string& name, const fs::path& to) {
  if (!copy_inside(from, name, to)) {
    log::warn("'" + (from / name).string() + "' is a link out of its folder and is not copied");
  }
}

std::string generation_config(const ModelConfig& config) {
  ordered_json json{{"_from_model_config", true}};
  if (config.bos_token >= 0) json["bos_token_id"] = config.bos_token;
  if (config.eos_token >= 0) json["eos_token_id"] = config.eos_token;
  return json.dump(2) + "\n";
}

// Consecutive tensors, each part at most `limit` bytes unless it is a single tensor.
std::vector<NamedTensors> cut_by_bytes(const NamedTensors& tensors, std::uint64_t limit) {
  std::vector<NamedTensors> parts(1);
  std::uint64_t bytes = 0;
  for (const auto& entry : tensors) {
    const std::uint64_t more = entry.second.nbytes();
    if (!parts.back().empty() && bytes + more > limit) {
      parts.emplace_back();
      bytes = 0;
    }
    parts.back().push_back(entry);
    bytes += more;
  }
  return parts;
}

std::string shard_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

ordered_json hf_config(const ModelConfig& config, const std::string& dtype) {
  ordered_json json = ordered_json::parse(config.json);
  // transformers 5 says dtype, version 4 torch_dtype; a reader of either must not meet the old value.
  const bool modern = json.contains("dtype");
  if (modern) json["dtype"] = dtype;
  if (!modern || json.contains("torch_dtype")) json["torch_dtype"] = dtype;
  return json;
}

std::vector<std::string> modules_left_alone(const PackedModel& model) {
  std::vector<std::string> modules{"lm_head"};
  if (model.config.family == Family::kGptNeox) modules.emplace_back("embed_out");
  for (const PackedTensor& tensor : model.tensors) {
    if (is_block_matrix(tensor) && !is_packed(tensor)) modules.push_back(module_of(tensor.name));
  }
  return modules;
}

void write_hf_weights(const fs::path& folder, const NamedTensors& tensors, const DeferredTensors& deferred,
                      std::uint64_t shard_bytes, const std::map<std::string, std::string>& metadata) {
  const std::vector<NamedTensors> parts = cut_by_bytes(tensors, shard_bytes);
  if (parts.size() == 1) return write_safetensors(folder / "model.safetensors", tensors, metadata, deferred);
  ordered_json index{{"metadata", {{"total_size", 0}}}, {"weight_map", ordered_json::object()}};
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = shard_name(i, parts.size());
    write_safetensors(folder / name, parts[i], metadata, deferred);
    for (const auto& [tensor, value] : parts[i]) {
      index["weight_map"][tensor] = name;
      total += value.nbytes();
    }
  }
  index["metadata"]["total_size"] = total;
  write_file_atomically(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

std::map<std::string, std::string> exported_provenance(const PackedModel& model, const std::string& packed_sha256) {
  std::map<std::string, std::string> metadata;
  for (const char* key : {"model_sha256", "config_fingerprint"}) {
    const auto found = model.provenance.find(key);
    if (found != model.provenance.end() && found->is_string()) metadata[std::string("tercet.") + key] = *found;
  }
  if (!packed_sha256.empty()) metadata["tercet.packed_sha256"] = packed_sha256;
  return metadata;
}

void write_hf_frame(const fs::path& folder, const ordered_json& config, const ModelConfig& model,
                    const fs::path& model_folder, const fs::path& tokenizer_folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw StoreError("cannot create folder '" + folder.string() + "'", error.message());
  write_file_atomically(folder / "config.json", config.dump(2) + "\n");
  if (fs::exists(model_folder / "generation_config.json")) {
    copy_unread(model_folder, "generation_config.json", folder);
  } else {
    write_file_atomically(folder / "generation_config.json", generation_config(model));
  }
  if (!fs::is_directory(tokenizer_folder)) {
    throw DataError("tokenizer folder '" + tokenizer_folder.string() + "' cannot be copied", "it is not a folder");
  }
  copy_tokenizer(tokenizer_folder, folder);
}

}  // namespace tercet
