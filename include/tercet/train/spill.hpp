// Tensors that are needed later and must not take memory until then: they lie in a file that is mapped.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <vector>

#include "tercet/comm/communicator.hpp"

namespace tercet {

// The same values as views of `file` (written anew, safetensors), on the host; undefined tensors stay undefined. The
// views are not to be written to. They outlive the name of the file, but not a change of its content. Throws
// StoreError.
std::vector<at::Tensor> spilled(const std::filesystem::path& file, const std::vector<at::Tensor>& tensors);
// Collective. Of tensors that are the same on all ranks: rank 0 writes the file, all map it.
std::vector<at::Tensor> spilled(Communicator& comm, const std::filesystem::path& file,
                                const std::vector<at::Tensor>& tensors);

}  // namespace tercet
