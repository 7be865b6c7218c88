#include "disk_plan.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "tercet/artifact/export_format.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet::job {
namespace {

constexpr std::uint64_t kBytesPerStep = 1500;  // seven figures in the journal and in run.h5
constexpr std::uint64_t kBytesPerLog = 4000;   // of each rank

std::uint64_t tokenizer_bytes(const std::filesystem::path& folder) {
  const auto files = tokenizer_files(folder);
  return std::accumulate(files.begin(), files.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& file) { return sum + std::filesystem::file_size(file); });
}

// What each calibration shard leaves of each layer: the sums of squares of its inputs.
std::uint64_t shard_bytes(const PlannedJob& job) {
  std::uint64_t bytes = 0;
  for (const Parameter& parameter : job.model.decoder.parameters()) {
    if (!is_block_linear(parameter.role)) continue;
    bytes += 8 * static_cast<std::uint64_t>(parameter.value.size(parameter.input_first ? 0 : 1)) + 16;
  }
  return bytes;
}

// Masters of finished blocks in fp32: those of every tuned window and every solved block in the work log, and once more
// where weights are streamed, with the codes.
std::uint64_t block_bytes(const PlannedJob& job, std::uint64_t packed) {
  std::uint64_t weights = 0;
  for (const Parameter& parameter : job.model.decoder.parameters()) {
    if (parameter.layer >= 0) weights += parameter.value.nbytes();
  }
  const auto& blockwise = job.config.blockwise;
  const std::int64_t window = std::min(blockwise.window, job.model.decoder.config().layers);
  const std::uint64_t tuned = blockwise.enabled ? weights : 0;
  const std::uint64_t solved = job.config.quantization.solver == "compensated" ? weights : 0;
  const std::uint64_t logged = static_cast<std::uint64_t>(window) * tuned + solved;
  return streams_weights(job.config) ? logged + tuned + solved + packed : logged;
}

std::uint64_t bytes_of_artifact(const PlannedJob& job, const std::vector<ParameterPlan>& storage) {
  const PackedModel artifact = unfilled_artifact(job.config, job.model.decoder, storage);
  const ArtifactBytes files = artifact_bytes(artifact);
  std::uint64_t bytes = files.packed + files.dequantized + files.safetensors;
  for (const std::string& name : job.config.exports.formats) bytes += export_format(name).bytes(artifact);
  return bytes;
}

// A remedy makes the file larger than the one that failed, by how much is not known before.
std::uint64_t bytes_of_rounds(const PlannedJob& job) {
  const auto remedies = static_cast<std::uint64_t>(job.config.remedies.rounds);
  std::uint64_t bytes = remedies * bytes_of_artifact(job, job.storage);
  for (const auto& stage : job.earlier_stages) bytes += bytes_of_artifact(job, stage);
  return bytes == 0 ? 0 : bytes + 2 * 4 * job.parameters();
}

}  // namespace

std::uint64_t DiskPlan::total() const {
  std::uint64_t bytes =
      static_cast<std::uint64_t>(checkpoints) * checkpoint.bytes() + token_cache + unfinished + rounds + records;
  for (const DiskItem& item : artifacts) bytes += item.bytes;
  return bytes;
}

DiskPlan plan_disk(const PlannedJob& job) {
  const PackedModel artifact = unfilled_artifact(job.config, job.model.decoder, job.storage);
  const ArtifactBytes files = artifact_bytes(artifact);
  const std::uint64_t tokenizer = tokenizer_bytes(job.model.location.tokenizer);
  const bool in_shards = static_cast<double>(files.safetensors) > job.config.exports.shard_size_mb * 1e6;
  DiskPlan plan;
  plan.artifacts = {{kPackedFile, files.packed},
                    {kDequantizedFile, files.dequantized},
                    {in_shards ? "hf/model-*.safetensors" : "hf/model.safetensors", files.safetensors},
                    {"tokenizer, twice", 2 * tokenizer}};
  for (const std::string& name : job.config.exports.formats) {
    const ExportFormat& format = export_format(name);
    plan.artifacts.push_back({format.place() + ", about", format.bytes(artifact) + tokenizer});
  }
  const std::int64_t steps = job.training.schedule.total_steps;
  if (steps > 0 && job.training.checkpoint_every > 0) {
    plan.checkpoint = checkpoint_size(planned_state(job), job.ranks);
    const std::int64_t saved = (steps + job.training.checkpoint_every - 1) / job.training.checkpoint_every;
    plan.checkpoints = std::min<std::int64_t>(job.training.checkpoint.keep, saved) + 1;
  }
  const std::uint64_t id_bytes = job.model.tokenizer->vocab_size() <= 1 << 16 ? 2 : 4;
  plan.token_cache = id_bytes * job.text_tokens();
  plan.unfinished = plan.token_cache + static_cast<std::uint64_t>(job.config.calibration.shards) * shard_bytes(job) +
                    block_bytes(job, files.packed);
  plan.rounds = bytes_of_rounds(job);
  plan.records =
      static_cast<std::uint64_t>(steps) * kBytesPerStep + static_cast<std::uint64_t>(job.ranks) * kBytesPerLog;
  return plan;
}

}  // namespace tercet::job
