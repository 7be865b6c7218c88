// What a checkpoint takes on disk and how it is shared out over the ranks that write it, without writing one.
#pragma once

#include <cstdint>

#include "tercet/store/checkpoint.hpp"

namespace tercet {

struct CheckpointSize {
  std::uint64_t tensors = 0;
  std::uint64_t state_bytes = 0;     // of state.h5; its own structure within some hundred bytes a tensor
  std::uint64_t manifest_bytes = 0;  // of manifest.json, without what the caller adds
  std::uint64_t least_of_rank = 0, most_of_rank = 0;  // bytes that one rank writes
  bool exact = false;                                 // every slice is written by exactly one rank
  std::uint64_t bytes() const { return state_bytes + manifest_bytes; }
};

// `layout`: the tensors that will be saved; only names, types and shapes matter (device meta will do).
CheckpointSize checkpoint_size(const StateTensors& layout, int world_size);

}  // namespace tercet
