// state.h5 of a checkpoint: per tensor one contiguous 1-D dataset /tensors/<name> of its elements in memory order, with
// its global shape as the attribute `shape`.
//
// Rank 0 makes the file by HDF5, with all its space reserved, so that a full disk shows before anything is written.
// HDF5 says where in the file each dataset's elements lie, and the ranks write there by themselves (slice_io.hpp): no
// rank waits for another inside HDF5, and none holds its lock for long. The places are in the manifest too, so that a
// checkpoint is loaded without HDF5.
// Why not MPI-IO: docs/decisions/008-checkpoint-files.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "store/manifest.hpp"

namespace tercet::store {

struct Places {
  std::uint64_t file_bytes = 0;
  std::vector<std::uint64_t> positions;  // of each tensor's first element in the file; 0 for a tensor without elements
};

// Throws StoreError naming the file or tensor.
Places create_state_file(const std::filesystem::path& path, const std::vector<TensorEntry>& tensors);

}  // namespace tercet::store
