// What a packed file holds, taken apart from how it is stored: for the reader and for those who attack it.
#pragma once

#include <cstdint>
#include <string>

#include "tercet/artifact/packed_model.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {

// `root` is what the file `where` of `bytes` bytes holds. Throws DataError naming the tensor for anything inconsistent.
PackedModel packed_model_of(const TorchValue& root, const std::string& where, std::uint64_t bytes,
                            PackedCheck check = PackedCheck::kAll);

}  // namespace tercet
