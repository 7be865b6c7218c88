// Error compensation of a whole matrix (GPTQ), and sweeps that improve its result.
#pragma once

#include <ATen/core/Tensor.h>

#include "solve/quadratic.hpp"

namespace tercet::solve {

// Trits and scales found for a matrix whose columns stand in fixing order. A weight's value is trits * scale.
struct Assignment {
  at::Tensor trits;    // float64 [out, in], in {-1, 0, 1}
  at::Tensor scales;   // float64 [out, runs], each exact in fp16; column r belongs to runs[r]. Per tensor all equal
  at::Tensor rounded;  // float64 [out, in]: the value that was rounded to each trit (trit = nearest to rounded / scale)
};

// `weight` is float64 [out, in] in fixing order. Rows are independent of each other but for a scale per tensor.
Assignment compensate(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
                      Granularity granularity);

// Up to `sweeps` times: all scales of a row at once by least squares for its trits, then each trit anew with all others
// held. Neither raises (w - q) H (w - q)'; a row that a sweep leaves as it was is finished.
void improve(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
             Granularity granularity, std::int64_t sweeps, Assignment& assignment);

}  // namespace tercet::solve
