// Checkpoints of replicated training state, written in parallel by all ranks and published by rename.
//
//   <folder>/step-00000400/{state.h5, manifest.json}
//
// state.h5 holds one flat dataset per name with its global shape beside it; each rank writes an even share of the
// elements, and any other number of ranks can load it. Layout and commit protocol: docs/formats.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tercet/comm/communicator.hpp"

namespace tercet {

using StateTensors = std::vector<std::pair<std::string, at::Tensor>>;  // CPU, contiguous; float32, float64, int64

struct Checkpoint {
  std::int64_t step = 0;
  StateTensors tensors;
  nlohmann::json metadata;  // schedule, loss history, fingerprint: whatever the caller saved
};

struct CheckpointOptions {
  std::filesystem::path folder;
  int keep = 2;
};

// Collective. Temporary name, collective write, fsync, agreement, manifest with a SHA-256 per slice, rename, fsync of
// the parent; then older ones beyond `keep` are removed. On failure on any rank all throw StoreError, and nothing
// published is touched. A checkpoint of the same step is replaced. All ranks must hold the same names and shapes.
void save_checkpoint(Communicator& comm, const CheckpointOptions& options, std::int64_t step,
                     const StateTensors& tensors, const nlohmann::json& metadata);

// Collective. The newest checkpoint that verifies on every rank and whose metadata["fingerprint"] equals `fingerprint`;
// one that does not verify is renamed bad-step-... and named in a warning. nullopt when there is none. Every rank reads
// and verifies all tensors.
std::optional<Checkpoint> load_newest_checkpoint(Communicator& comm, const std::filesystem::path& folder,
                                                 const std::string& fingerprint);

}  // namespace tercet
