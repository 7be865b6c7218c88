// Error compensation of a whole matrix (GPTQ), and sweeps that improve its result.
#pragma once

#include <ATen/core/Tensor.h>

#include "solve/quadratic.hpp"
#include "solve/scale_fit.hpp"

namespace tercet::solve {

// Levels and scales found for a matrix whose columns stand in fixing order. A weight's value is multiple * scale.
struct Assignment {
  at::Tensor multiples;  // float64 [out, in]: level - zero point
  at::Tensor scales;     // float64 [out, runs], each exact in fp16; column r belongs to runs[r]. Per tensor all equal
  at::Tensor zeros;      // float64 [out, runs]: zero points; 0 on symmetric grids
  at::Tensor rounded;    // float64 [out, in]: the value that was rounded (multiple = nearest to rounded / scale)
};

// `weight` is float64 [out, in] in fixing order. Rows are independent of each other but for a scale per tensor.
Assignment compensate(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
                      Granularity granularity, const Grid& grid);

// Up to `sweeps` times: all scales of a row at once by least squares for its levels, then each level anew with all
// others held; zero points stay. Neither raises (w - q) H (w - q)'; a row that a sweep leaves as it was is finished.
void improve(const at::Tensor& weight, const Quadratic& quadratic, const std::vector<ScaleRun>& runs,
             Granularity granularity, const Grid& grid, std::int64_t sweeps, Assignment& assignment);

}  // namespace tercet::solve
