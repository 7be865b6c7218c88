// The elements of state.h5: written and read slice by slice at the places that HDF5 gave them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "store/manifest.hpp"

namespace tercet::store {

// A slice in memory, with its place in the manifest.
struct Piece {
  std::size_t tensor = 0, slice = 0;
  at::Tensor elements;  // 1-D, contiguous, on the host
};

// On any rank alone. Writes the pieces, fsyncs, and gives the XXH3 of each; hashing goes on beside the writing.
// Throws StoreError naming the file.
std::vector<std::string> write_pieces(const std::filesystem::path& path, const std::vector<TensorEntry>& tensors,
                                      const std::vector<Piece>& pieces);

// Collective. All tensors on every rank, read-only in a mapping of the file: the ranks of each node read and verify
// every slice once between them, and with that it is in their page cache. `fault` says what was wrong with which tensor
// on which rank, or is ""; with a fault there are no tensors. Throws StoreError.
StateTensors read_tensors(Communicator& comm, const std::filesystem::path& path, const Manifest& manifest,
                          std::string& fault);

}  // namespace tercet::store
