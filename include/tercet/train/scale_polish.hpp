// Training of scales alone, levels as they are: the last stage of a fine-tuning (E2E-QP of EfficientQAT, Chen et al.
// 2024, arXiv:2407.11062).
#pragma once

#include "tercet/train/student.hpp"

namespace tercet {

// From now on the masters of the quantized matrices inside the blocks among them are their scales, and nothing else is
// trained. The seen values stay what they are, but for scales too small for that (below 6.2e-5).
void freeze_levels(std::vector<TrainedParameter>& parameters);
// The masters are values again: those that the levels and the scales of now stand for, with a calibration that pins
// both. The seen values stay what they are, and everything is trained.
void thaw_levels(std::vector<TrainedParameter>& parameters);

}  // namespace tercet
