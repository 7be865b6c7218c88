#include "model_loader.hpp"

#include <utility>

#include "tercet/artifact/kernel_file.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/model_io/torch_file.hpp"
#include "tercet/quant/format.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config, const fs::path& folder) {
  if (tokenizer.vocab_size() <= config.vocab_size) return;
  throw DataError("the tokenizer in '" + folder.string() + "' does not fit the model",
                  "it has ids up to " + std::to_string(tokenizer.vocab_size() - 1) + ", the model's vocabulary has " +
                      std::to_string(config.vocab_size),
                  "give the model's own tokenizer in model.tokenizer");
}

// Of a run that a gate rejected, people ask for the folder that it would have had.
std::string hint_at(const fs::path& path) {
  const fs::path rejected = (path.has_filename() ? path : path.parent_path()).parent_path() / "rejected";
  return fs::exists(rejected / kPackedFile)
             ? "a gate failed in this run: its artifacts are in '" + rejected.string() + "'"
             : "";
}

ModelConfig config_at(const ModelLocation& location) {
  return location.kind == ModelKind::kHuggingFace
             ? read_model_config(location.weights)
             : read_packed_model(location.weights, PackedCheck::kAllButCodes).config;
}

LoadedModel load_hugging_face(const ModelLocation& location, const ModelConfig& config, const std::string& device,
                              Residence residence) {
  const std::shared_ptr<const WeightSource> weights = open_weights(location.weights);
  return {location, Decoder::load(config, weights, device, residence), nullptr, weights->bytes(), weights->files()};
}

// The SHA-256 of a file, if the metadata lists it: then it must be the one that is listed.
std::string checked_digest(const nlohmann::json& files, const fs::path& file) {
  const auto listed = files.find(file.filename().string());
  if (listed == files.end()) return "";
  const std::string digest = sha256_file(file);
  if (*listed == digest) return digest;
  throw DataError("'" + file.string() + "' is not the file that " + kMetadataFile + " was written with",
                  "its SHA-256 is another: it is damaged, or was exchanged",
                  "tercet verify looks at every artifact; take the folder from where it was published");
}

// Codes take any bits without complaint: a damaged or exchanged file would compute something else. So files that lie
// beside the metadata they were published with must be those. A kernel file says by its hash that the packed one was
// looked at before; a packed file alone has the sums of its archive.
std::unique_ptr<KernelFile> undamaged(const fs::path& packed, WeightForm form) {
  const fs::path metadata = packed.parent_path() / kMetadataFile;
  const bool is_published = fs::exists(metadata);
  const nlohmann::json files =
      is_published ? read_metadata(metadata).value("files", nlohmann::json::object()) : nlohmann::json::object();
  const std::string digest = checked_digest(files, packed);
  auto kernels = form == WeightForm::kDense ? nullptr : KernelFile::beside(packed, digest);
  if (kernels) checked_digest(files, packed.parent_path() / KernelFile::kName);
  if (!kernels && !is_published) check_torch_file(packed);
  return kernels;
}

LoadedModel load_packed(const ModelLocation& location, const std::string& device, WeightForm form,
                        Residence residence) {
  const auto kernels = undamaged(location.weights, form);
  const PackedModel packed =
      read_packed_model(location.weights, kernels ? PackedCheck::kAllButCodes : PackedCheck::kAll);
  std::vector<StoredParameter> parameters;
  for (const PackedTensor& tensor : packed.tensors) {
    parameters.push_back({tensor.name, tensor.stored, tensor.input_first, kernels ? kernels->matrix(tensor) : nullptr});
  }
  // The kernels take int8 inputs; weights that were judged with float inputs are dequantized.
  const WeightForm used = packed.activation_bits == 8 ? form : WeightForm::kDense;
  Decoder decoder = Decoder::from_stored(packed.config, parameters, used, device, residence);
  decoder.set_activation_bits(packed.activation_bits);
  return {location, std::move(decoder), nullptr, fs::file_size(location.weights), {location.weights}};
}

}  // namespace

ModelLocation locate_model(const fs::path& path) {
  if (!fs::exists(path))
    throw DataError("no model at '" + path.string() + "'", "the path does not exist", hint_at(path));
  if (fs::is_regular_file(path)) return {ModelKind::kPacked, path, path.parent_path() / "tokenizer"};
  if (fs::exists(path / "config.json")) return {ModelKind::kHuggingFace, path, path};
  for (const fs::path& folder : {path, path / "artifacts", path / "rejected"}) {
    if (fs::exists(folder / kPackedFile)) return {ModelKind::kPacked, folder / kPackedFile, folder / "tokenizer"};
  }
  throw DataError(
      "no model in '" + path.string() + "'",
      std::string("neither config.json, nor ") + kPackedFile + ", nor artifacts/" + kPackedFile + " is there",
      "give a Hugging Face folder, a run directory, an artifact folder or a packed .pt file");
}

LoadedModel load_model(const fs::path& path, const fs::path& tokenizer, const std::string& device, WeightForm form,
                       Residence residence, const ModelCheck& check) {
  ModelLocation location = locate_model(path);
  if (!tokenizer.empty()) location.tokenizer = tokenizer;
  const ModelConfig config = config_at(location);
  std::unique_ptr<Tokenizer> text = open_tokenizer(location.tokenizer);
  check_vocabulary(*text, config, location.tokenizer);
  if (check) check(config, *text);
  LoadedModel model = location.kind == ModelKind::kHuggingFace ? load_hugging_face(location, config, device, residence)
                                                               : load_packed(location, device, form, residence);
  model.tokenizer = std::move(text);
  return model;
}

nlohmann::json read_metadata(const fs::path& file) {
  constexpr std::uintmax_t kMostBytes = 256 << 20;
  return parse_json_object(read_file(file, kMostBytes), file.string());
}

void check_positions(const ModelConfig& config, std::int64_t length, const std::string& key) {
  if (length <= config.max_positions) return;
  throw ConfigError(key + " is " + std::to_string(length) + ", longer than the model allows",
                    "its max_position_embeddings is " + std::to_string(config.max_positions));
}

}  // namespace tercet::job
