// The state at one moment, as far as this rank writes it, and its way to a published checkpoint.
#pragma once

#include <string>
#include <vector>

#include "store/manifest.hpp"
#include "store/slice_io.hpp"

namespace tercet::store {

struct Snapshot {
  Manifest manifest;  // without hashes
  std::vector<Piece> pieces;

  // Takes this rank's share of `tensors`. With `copy` the tensors may change afterwards, and the memory of an earlier
  // snapshot of the same shapes is used again; without, host tensors are only referred to.
  void take(const Communicator& comm, std::int64_t step, const StateTensors& tensors, const nlohmann::json& metadata,
            bool copy, std::int64_t slice_bytes = kSliceBytes);
};

// Collective. Throws StoreError on all ranks unless all hold the same names, shapes and dtypes, all of them storable.
void require_same_state(Communicator& comm, std::int64_t step, const StateTensors& tensors);

// Collective. Writes, agrees, publishes and removes old ones: what save_checkpoint() promises. The size of the state
// file is the result.
std::uint64_t commit(Communicator& comm, const CheckpointOptions& options, const Snapshot& snapshot);

}  // namespace tercet::store
