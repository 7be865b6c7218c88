// Models as users name them: a Hugging Face folder, a run, an artifact folder, or a packed file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::job {

enum class ModelKind { kHuggingFace, kPacked };

struct ModelLocation {
  ModelKind kind = ModelKind::kHuggingFace;
  std::filesystem::path weights;    // folder, or the packed file
  std::filesystem::path tokenizer;  // folder
};

// Throws DataError when `path` is none of them, saying what was looked for.
ModelLocation locate_model(const std::filesystem::path& path);

struct LoadedModel {
  ModelLocation location;
  Decoder decoder;
  std::unique_ptr<Tokenizer> tokenizer;
  std::uint64_t weight_bytes = 0;  // of the weight files
  std::vector<std::filesystem::path> weight_files;
};

// What else must hold of a model; throws where it does not.
using ModelCheck = std::function<void(const ModelConfig&, const Tokenizer&)>;

// Not collective: every rank reads. `tokenizer` empty: the model's own. Checks that every token id is inside the
// model's vocabulary, and `check`, before it reads the weights. `form` is for artifacts; those of weights alone
// (activation_bits 16) are dense whatever it says. Throws DataError or StoreError, also where an artifact is not what
// its metadata, or the sums of the packed file, say.
LoadedModel load_model(const std::filesystem::path& path, const std::filesystem::path& tokenizer,
                       const std::string& device, WeightForm form = WeightForm::kDense,
                       Residence residence = Residence::kResident, const ModelCheck& check = {});

// Throws ConfigError when sequences of `length` do not fit the model's positions; `key` is the setting to blame.
void check_positions(const ModelConfig& config, std::int64_t length, const std::string& key);

// Of a compression_metadata.json. Throws DataError where it is none.
nlohmann::json read_metadata(const std::filesystem::path& file);

constexpr const char* kPackedFile = "bitnet_quantized_model.pt";
constexpr const char* kDequantizedFile = "bitnet_dequantized_fp16.pt";
constexpr const char* kMetadataFile = "compression_metadata.json";

}  // namespace tercet::job
