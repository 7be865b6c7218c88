// tercet inspect and tercet verify: what a model or an artifact holds, and whether an artifact still is what it was.
#include <filesystem>
#include <map>

#include "model_loader.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/model_io/weights.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (std::int64_t size : shape) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "scalar" : text;
}

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (std::int64_t size : shape) count *= size;
  return count;
}

nlohmann::json config_json(const ModelConfig& config) {
  return {{"family", to_string(config.family)}, {"layers", config.layers},
          {"hidden_size", config.hidden_size},  {"heads", config.heads},
          {"kv_heads", config.kv_heads},        {"vocab_size", config.vocab_size},
          {"tied_head", config.tied_head},      {"max_positions", config.max_positions}};
}

CommandResult inspect_folder(const fs::path& folder) {
  const ModelConfig config = read_model_config(folder);
  const auto weights = open_weights(folder);
  nlohmann::json json{{"kind", "huggingface"}, {"config", config_json(config)}, {"bytes", weights->bytes()}};
  std::vector<std::vector<std::string>> rows{{"tensor", "dtype", "shape"}};
  std::int64_t parameters = 0;
  for (const auto& [name, info] : weights->tensors()) {
    parameters += elements(info.shape);
    json["tensors"].push_back({{"name", name}, {"dtype", info.dtype}, {"shape", info.shape}});
    rows.push_back({name, info.dtype, shape_text(info.shape)});
  }
  json["parameters"] = parameters;
  const std::string heading = to_string(config.family) + " model, " +
                              format_count(static_cast<std::uint64_t>(parameters)) + " parameters, " +
                              format_bytes(weights->bytes()) + " in '" + folder.string() + "'\n\n";
  return {ExitCode::kPassed, json, heading + format_table(rows)};
}

// One row of the table of a packed file.
nlohmann::json tensor_json(const PackedTensor& tensor) {
  const auto weights = static_cast<double>(elements(tensor.stored.shape));
  const std::uint64_t bytes = stored_bytes(tensor.stored);
  nlohmann::json json{{"name", tensor.name},
                      {"role", tensor.role},
                      {"format", tensor.stored.spec.format->name()},
                      {"shape", tensor.stored.shape},
                      {"bytes", bytes},
                      {"bits_per_weight", 8.0 * static_cast<double>(bytes) / weights}};
  if (tensor.stored.spec.format->counts_zeros()) {
    json["sparsity"] = unpack_levels(tensor.stored).eq(0).sum().item<double>() / weights;
  }
  return json;
}

CommandResult inspect_packed(const fs::path& file) {
  const PackedModel model = read_packed_model(file);
  nlohmann::json json{{"kind", "packed"},
                      {"config", config_json(model.config)},
                      {"activation_bits", model.activation_bits},
                      {"bytes", fs::file_size(file)},
                      {"provenance", model.provenance}};
  std::vector<std::vector<std::string>> rows{{"tensor", "format", "shape", "bits/weight", "zeros"}};
  std::int64_t parameters = 0;
  for (const PackedTensor& tensor : model.tensors) {
    parameters += elements(tensor.stored.shape);
    const nlohmann::json row = tensor_json(tensor);
    json["tensors"].push_back(row);
    rows.push_back({tensor.name, row.at("format"), shape_text(tensor.stored.shape),
                    format_fixed(row.at("bits_per_weight"), 3),
                    row.contains("sparsity") ? format_fixed(row.at("sparsity"), 3) : ""});
  }
  const auto fp32 = static_cast<double>(4 * parameters);
  json["parameters"] = parameters;
  json["ratio_fp32"] = fp32 / static_cast<double>(fs::file_size(file));
  const std::string heading = "packed " + to_string(model.config.family) + " model, " +
                              format_count(static_cast<std::uint64_t>(parameters)) + " parameters, " +
                              format_bytes(fs::file_size(file)) + " (1/" + format_fixed(json["ratio_fp32"], 2) +
                              " of fp32) in '" + file.string() + "'\n\n";
  return {ExitCode::kPassed, json, heading + format_table(rows)};
}

}  // namespace

CommandResult inspect(const fs::path& path) {
  if (fs::exists(path / "journal.jsonl")) {
    ReportRequest of_run;
    of_run.run = path;
    return report(of_run);
  }
  const job::ModelLocation location = job::locate_model(path);
  return location.kind == job::ModelKind::kHuggingFace ? inspect_folder(location.weights)
                                                       : inspect_packed(location.weights);
}

CommandResult verify(const fs::path& path) {
  const job::ModelLocation location = job::locate_model(path);
  if (location.kind != job::ModelKind::kPacked) {
    throw DataError("'" + path.string() + "' holds no artifacts", std::string("it has no ") + job::kPackedFile,
                    "give a run directory or its artifacts folder");
  }
  const std::vector<std::string> findings = verify_artifacts(location.weights.parent_path());
  std::string text;
  for (const std::string& finding : findings) text += "- " + finding + "\n";
  if (findings.empty())
    text = "every artifact in '" + location.weights.parent_path().string() + "' agrees with the packed codes\n";
  return {findings.empty() ? ExitCode::kPassed : ExitCode::kBadInput,
          {{"passed", findings.empty()}, {"findings", findings}},
          text};
}

}  // namespace tercet
