// The files of a Hugging Face folder, for every export that is one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/artifact/packed_model.hpp"
#include "tercet/model_io/deferred_tensors.hpp"

namespace tercet {

// The original's config.json with `dtype` ("float16") under the key that it uses.
nlohmann::ordered_json hf_config(const ModelConfig& config, const std::string& dtype);

// Modules that a packed folder stores as plain values: the output head, tied or not, under each name that transformers
// gives it (version 5 calls GPT-NeoX's lm_head too), and block matrices in fp16. Such a list takes the place of
// transformers' default.
std::vector<std::string> modules_left_alone(const PackedModel& model);

// model.safetensors, or, beyond `shard_bytes`, shards in the order of the tensors and their index. A tensor is in one
// shard, however large.
void write_hf_weights(const std::filesystem::path& folder, const NamedTensors& tensors, const DeferredTensors& deferred,
                      std::uint64_t shard_bytes, const std::map<std::string, std::string>& metadata = {});

// What of the packed file's provenance goes into files for other programs: model_sha256 and config_fingerprint, where
// it has them, and the hash of the packed file itself, unless that is empty.
std::map<std::string, std::string> exported_provenance(const PackedModel& model, const std::string& packed_sha256);

// Makes the folder with config.json, generation_config.json and the tokenizer's files.
void write_hf_frame(const std::filesystem::path& folder, const nlohmann::ordered_json& config, const ModelConfig& model,
                    const std::filesystem::path& model_folder, const std::filesystem::path& tokenizer_folder);

}  // namespace tercet
