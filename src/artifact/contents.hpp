// What the two .pt files hold, as trees of plain values: for writing them and for counting their bytes.
#pragma once

#include "tercet/artifact/packed_model.hpp"
#include "tercet/model_io/torch_file.hpp"

namespace tercet {

TorchDict packed_content(const PackedModel& model);
// `tensors` are those of dequantized_tensors(model). A tied head appears under its own name over the same memory, as
// model.state_dict() has it, so it is stored once.
TorchDict dequantized_content(const PackedModel& model, const NamedTensors& tensors);

}  // namespace tercet
