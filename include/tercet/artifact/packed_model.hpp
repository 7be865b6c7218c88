// Artifacts: files another program loads. The packed model is the master; every other export is made from its codes.
//
//   bitnet_quantized_model.pt     {format, version, config: {model, activation_bits}, quantization,
//                                 state_dict, scale_factors[, zero_points], provenance}
//   bitnet_dequantized_fp16.pt    {name: fp16 tensor}: a plain state dict, the primary output of the seed
//   hf/                           config.json, model.safetensors or its shards (fp16), tokenizer files,
//                                 generation_config.json
// Layouts: docs/formats.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tercet/model_io/model_config.hpp"
#include "tercet/model_io/weights.hpp"
#include "tercet/quant/format.hpp"

namespace tercet {

struct PackedTensor {
  std::string name;          // Hugging Face name
  std::string role;          // to_string(Role)
  bool input_first = false;  // stored transposed to [out, in]; given back as [in, out]
  StoredTensor stored;
};

struct PackedModel {
  ModelConfig config;
  int activation_bits = 8;
  std::vector<PackedTensor> tensors;  // each parameter once (a tied head is the embedding)
  nlohmann::json provenance;          // hashes, versions, source
};

void write_packed_model(const std::filesystem::path& file, const PackedModel& model);
// What reading looks at: everything, or all but each single code, of a file that is known to be the one that was looked
// at before (its SHA-256 says so).
enum class PackedCheck { kAll, kAllButCodes };
// Throws DataError naming the tensor for anything inconsistent. Codes are views of the mapped file.
PackedModel read_packed_model(const std::filesystem::path& file, PackedCheck check = PackedCheck::kAll);

// The dequantized tensors under their Hugging Face names and layouts, fp16, one after the other: no more than one is in
// memory at a time.
void write_dequantized_pt(const std::filesystem::path& file, const PackedModel& model);
constexpr std::uint64_t kUsualShardBytes = 5'000'000'000;
// config.json (with torch_dtype float16), model.safetensors (cut into shards with an index beyond `shard_bytes`),
// generation_config.json and the tokenizer of `tokenizer_folder`.
void write_hf_folder(const std::filesystem::path& folder, const PackedModel& model,
                     const std::filesystem::path& model_folder, const std::filesystem::path& tokenizer_folder,
                     std::uint64_t shard_bytes = kUsualShardBytes);

struct ArtifactBytes {
  std::uint64_t packed = 0, dequantized = 0, safetensors = 0;
};
// Bytes of the files that the three writers above make of `model`. Only names, types and shapes matter: the tensors
// may be on the meta device.
ArtifactBytes artifact_bytes(const PackedModel& model);

// The independent check of a written artifact folder: opens every file anew, compares the dequantized tensors bit by
// bit with what the packed codes and scales stand for, checks hashes in compression_metadata.json. Returns the
// findings; empty: all well.
std::vector<std::string> verify_artifacts(const std::filesystem::path& folder);

}  // namespace tercet
