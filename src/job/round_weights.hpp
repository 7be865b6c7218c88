// What a round hands to the next: the weights that were trained, and the calibration under which they are stored.
#pragma once

#include <vector>

#include "tercet/model/decoder.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

StateTensors weights_of(const Student& student);
// A copy of `model` with these weights. Throws StoreError where one is missing or of another shape.
Decoder with_weights(const Decoder& model, const StateTensors& weights);
// The calibration that the student had, into the plan of the same formats.
void add_saved_calibration(const std::vector<Parameter>& parameters, const StateTensors& weights,
                           std::vector<ParameterPlan>& plan);

}  // namespace tercet::job
