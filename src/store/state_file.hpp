// state.h5 of a checkpoint: per tensor one contiguous 1-D dataset /tensors/<name> of its elements in memory order, with
// its global shape as the attribute `shape`.
//
// Rank 0 makes the file alone, with all space reserved; then all ranks open it and write their shares. So a full disk
// shows before the collective part, where a failure of one rank could leave the others waiting.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "store/manifest.hpp"

namespace tercet::store {

inline constexpr std::int64_t kSlabBytes = std::int64_t{1} << 30;  // MPI counts are int; HDF5 1.10 fails from 2 GiB

// On one rank. Throws StoreError naming the file or tensor; the size of the file is the result.
std::uint64_t create_state_file(const std::filesystem::path& path, const StateTensors& tensors);

// Collective. Writes this rank's share of each tensor, `slab_bytes` at most in one call, fsyncs, and gives the SHA-256
// of each share. Throws StoreError on the rank that failed only, after all collective calls were made.
std::vector<std::string> write_shares(Communicator& comm, const std::filesystem::path& path,
                                      const StateTensors& tensors, std::int64_t slab_bytes = kSlabBytes);

// On any rank alone. Reads all tensors and compares every slice with its hash. Throws StoreError naming the tensor.
StateTensors read_state_file(const std::filesystem::path& path, const Manifest& manifest);

}  // namespace tercet::store
