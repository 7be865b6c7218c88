// What makes a stored tensor valid, checked before it is written and after it is read.
#pragma once

#include <string>

#include "tercet/artifact/packed_model.hpp"

namespace tercet {

// Throws DataError naming `where` and the tensor.
void check_packed_tensor(const PackedTensor& tensor, const std::string& where, PackedCheck check = PackedCheck::kAll);

// The name under which a family's head would be stored, e.g. "lm_head.weight".
std::string exported_head_name(Family family);
// The tensor whose values a tied head shares, or null if the head is a tensor of its own.
const PackedTensor* tied_embedding(const PackedModel& model);

}  // namespace tercet
