// The gated part of a Llama MLP: silu(gate) * up (Shazeer 2020), on the joined output of both projections.
#pragma once

#include <ATen/core/Tensor.h>

namespace tercet {

// gate_up [..., 2 f]: gate in the first f columns, up in the last f -> [..., f], same type.
at::Tensor swiglu(const at::Tensor& gate_up);
at::Tensor swiglu_reference(const at::Tensor& gate_up);  // plain ATen operations

}  // namespace tercet
