// Checkpoints of replicated training state, written in parallel by all ranks and published by rename.
//
//   <folder>/step-00000400/{state.h5, manifest.json}
//
// state.h5 holds one flat dataset per name with its global shape beside it; each rank writes a share of the bytes, and
// any other number of ranks can load it. Layout and commit protocol: docs/formats.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tercet/comm/communicator.hpp"

namespace tercet {

// Contiguous; float32, float64, int64. To be saved: on any device. Loaded: on the host,
// read-only, in a mapping of the file: to be copied to where they are needed.
using StateTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct Checkpoint {
  std::int64_t step = 0;
  StateTensors tensors;
  nlohmann::json metadata;  // schedule, loss history, fingerprint: whatever the caller saved
};

struct CheckpointOptions {
  std::filesystem::path folder;
  int keep = 2;              // the newest ones; those of a higher step than the one just saved do not count
  bool asynchronous = true;  // of a CheckpointWriter
};

// Collective. Temporary name, all ranks write, fsync, agreement, manifest with a checksum per slice, rename, fsync of
// the parent; then older ones beyond `keep` are removed. On failure on any rank all throw StoreError, and nothing
// published is touched. A checkpoint of the same step is replaced in one step. All ranks must hold the same names,
// shapes and values.
void save_checkpoint(Communicator& comm, const CheckpointOptions& options, std::int64_t step,
                     const StateTensors& tensors, const nlohmann::json& metadata);

struct CheckpointReport {
  std::int64_t step = 0;
  double stall_s = 0;  // how long the callers of save() and wait() were held up by it, on this rank
  double write_s = 0;  // from the first file operation to the end of the last
  std::uint64_t bytes = 0;
};

// Saves while the caller computes. save() copies this rank's share of the tensors (on the host: state / ranks bytes,
// kept from one checkpoint to the next) and returns; a thread with a communicator of its own hashes, writes and
// publishes as save_checkpoint() does. With `asynchronous` off, save() does all that itself.
class CheckpointWriter {
 public:
  // Collective.
  CheckpointWriter(Communicator& comm, const CheckpointOptions& options);
  // Finishes the checkpoint in flight; that it failed is only logged here.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Collective. Waits for the checkpoint in flight before it takes the next, and throws what became of it if it
  // failed, the same StoreError on all ranks; the writer can be used again afterwards.
  void save(std::int64_t step, const StateTensors& tensors, const nlohmann::json& metadata);
  // Collective. The checkpoint in flight is published, or its StoreError thrown on all ranks. To be called before the
  // folder is read and before the job ends.
  void wait();
  // What was published since the last call, as seen by save() and wait().
  std::vector<CheckpointReport> take_reports();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Collective. The newest checkpoint that verifies and whose metadata["fingerprint"] equals `fingerprint`; one that does
// not verify is renamed bad-step-... and named in a warning, one of another fingerprint is passed over with a warning.
// nullopt when there is none. Throws StoreError for one of a newer format, which is left alone. Every rank gets all
// tensors; on each node each slice is read and verified once.
std::optional<Checkpoint> load_newest_checkpoint(Communicator& comm, const std::filesystem::path& folder,
                                                 const std::string& fingerprint);

}  // namespace tercet
