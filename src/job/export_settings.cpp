#include "export_settings.hpp"

namespace tercet::job {

ExportSettings export_settings(const JobConfig& config, const LoadedModel& model) {
  ExportSettings settings;
  settings.gguf_type = config.exports.gguf_type;
  settings.shard_bytes = static_cast<std::uint64_t>(config.exports.shard_size_mb * 1e6);
  settings.model_folder = config.model.path;
  settings.tokenizer_folder = model.location.tokenizer;
  return settings;
}

}  // namespace tercet::job
