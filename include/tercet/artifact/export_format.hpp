// What an export for other programs is: the one interface behind which each of them lies, and the table in which they
// are looked up. A new one is one file that derives from ExportFormat and one line in the table
// (src/artifact/export_format.cpp); its independent check is one function in the table of src/artifact/verify.cpp.
//
//   gguf                 model.gguf          llama.cpp and what is built on it
//   hf-bitnet            hf-bitnet/          transformers, quant_method "bitnet"
//   compressed-tensors   compressed-tensors/ transformers, vLLM; quant_method "compressed-tensors"
//   kernels              kernels.safetensors this program, which maps it: kernel_file.hpp
//
// All hold the codes and scales of the packed model unchanged; what a format cannot express is refused, never rounded
// anew. Which program reads what, and limits: docs/exports.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tercet/artifact/packed_model.hpp"

namespace tercet {

struct ExportSettings {
  std::string gguf_type = "auto";                // how GGUF stores trits: auto | tq2_0 | tq1_0 | q2_0
  std::uint64_t shard_bytes = kUsualShardBytes;  // weights of a Hugging Face folder beyond it are cut into shards
  std::filesystem::path model_folder;            // the original's: generation_config.json
  std::filesystem::path tokenizer_folder;
  std::string packed_sha256;  // of the packed file that holds the model, once it is written
};

// Why a model cannot be written, and what would work ("" when nothing is known).
struct Refusal {
  std::string reason, hint;
};

class ExportFormat {
 public:
  virtual ~ExportFormat() = default;
  virtual std::string name() const = 0;   // in export.formats
  virtual std::string place() const = 0;  // file or folder inside the artifacts

  // --- of a model of which names, types and shapes matter alone: its tensors may be on the meta device ---
  virtual std::optional<Refusal> refusal(const PackedModel& model, const ExportSettings& settings) const = 0;
  // What was chosen and why, for people; of a model that is not refused.
  virtual std::string choice(const PackedModel& model, const ExportSettings& settings) const = 0;
  virtual std::uint64_t bytes(const PackedModel& model) const = 0;  // about, of the weights

  // Writes the file or folder `to`, one tensor in memory at a time. Throws ConfigError where the model is refused,
  // StoreError.
  virtual void write(const std::filesystem::path& to, const PackedModel& model,
                     const ExportSettings& settings) const = 0;
};

const std::vector<const ExportFormat*>& export_formats();    // every one, in the order of the table
const ExportFormat& export_format(const std::string& name);  // throws ConfigError
// Sentences about those of `names` that cannot hold `model`, each naming the key, the reason and what works.
std::vector<std::string> export_problems(const std::vector<std::string>& names, const PackedModel& model,
                                         const ExportSettings& settings);
// Throws one ConfigError that lists them all.
void check_exports(const std::vector<std::string>& names, const PackedModel& model, const ExportSettings& settings);

}  // namespace tercet
