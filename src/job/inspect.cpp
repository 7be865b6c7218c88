// tercet inspect and tercet verify: what a model or an artifact holds, and whether an artifact still is what it was.
#include <filesystem>

#include "inventory_text.hpp"
#include "model_loader.hpp"
#include "tercet/artifact/inventory.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// Whether the metadata lists the artifact `place`, a file or a folder.
bool lists(const nlohmann::json& metadata, const std::string& place) {
  const auto files = metadata.find("files");
  if (files == metadata.end() || !files->is_object()) return false;
  for (const auto& [name, hash] : files->items()) {
    if (name == place || name.starts_with(place + "/")) return true;
  }
  return false;
}

job::OriginalBytes original_in(const fs::path& metadata_file, const fs::path& artifact) {
  const auto metadata = job::read_metadata(metadata_file);
  const std::string place = artifact.lexically_relative(metadata_file.parent_path()).generic_string();
  if (!lists(metadata, place)) return {std::nullopt, "'" + metadata_file.string() + "' does not list this"};
  const auto mebibytes = metadata.value(nlohmann::json::json_pointer("/metrics/compression~1original_size_mb"), -1.0);
  if (!(mebibytes > 0 && mebibytes < 1e12))
    return {std::nullopt, "'" + metadata_file.string() + "' does not have its size"};
  return {static_cast<std::uint64_t>(mebibytes * (1 << 20)), ""};
}

// From the metadata of the job that made the artifact: beside it, or beside the folder that it is a file of.
job::OriginalBytes bytes_of_original(const fs::path& path) {
  fs::path artifact = fs::absolute(path).lexically_normal();
  if (!artifact.has_filename()) artifact = artifact.parent_path();  // "folder/"
  for (const fs::path& folder : {artifact.parent_path(), artifact.parent_path().parent_path()}) {
    const fs::path metadata = folder / job::kMetadataFile;
    if (!fs::exists(metadata)) continue;
    try {
      return original_in(metadata, artifact);
    } catch (const Error& error) {
      return {std::nullopt, error.what()};
    } catch (const nlohmann::json::exception& error) {
      return {std::nullopt, "'" + metadata.string() + "' does not have its size: " + error.what()};
    }
  }
  return {std::nullopt, std::string("its size is not known, no ") + job::kMetadataFile + " lies beside this"};
}

CommandResult inspect_model(const fs::path& path) {
  const Inventory inventory = take_inventory(path);
  const job::OriginalBytes original =
      inventory.whole ? bytes_of_original(path) : job::OriginalBytes{std::nullopt, "this holds a part of the model"};
  return {ExitCode::kPassed, job::inventory_json(inventory, original), job::inventory_text(inventory, original, path)};
}

}  // namespace

CommandResult inspect(const fs::path& path) {
  if (fs::exists(path / "journal.jsonl")) {
    ReportRequest of_run;
    of_run.run = path;
    return report(of_run);
  }
  return inspect_model(job::locate_model(path).weights);
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
