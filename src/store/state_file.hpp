// state.h5 of a checkpoint: per tensor one contiguous 1-D dataset /tensors/<name> of its elements in memory order, with
// its global shape as the attribute `shape`.
//
// Rank 0 makes the file by HDF5, with all its space reserved, so that a full disk shows before anything is written.
// HDF5 says where in the file each dataset's elements lie, and the ranks write and read there by themselves
// (slice_io.hpp): no rank waits for another inside HDF5, and none holds its lock for long.
// Why not MPI-IO: docs/decisions/008-checkpoint-files.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "store/manifest.hpp"

namespace tercet::store {

struct StateFile {
  std::uint64_t bytes = 0;               // its size
  std::vector<std::uint64_t> positions;  // of each tensor's first element in the file; 0 for a tensor without elements
};

// Throws StoreError naming the file or tensor.
StateFile create_state_file(const std::filesystem::path& path, const std::vector<TensorEntry>& tensors);

// Looks at a file that exists: everything that the manifest says must be there, with its size, in one piece. Throws
// StoreError naming the file or tensor.
StateFile inspect_state_file(const std::filesystem::path& path, const Manifest& manifest);

}  // namespace tercet::store
