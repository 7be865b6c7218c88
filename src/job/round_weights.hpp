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
// Where a trained matrix gets another format, what the model sees of it is the better start: full precision beneath
// trits is trained to round well, not to be used. Takes the student of `before` with these weights (and their
// calibration), and gives `model` the seen values of the parameters whose formats differ in `now`.
void take_seen_values(Decoder& model, const StateTensors& weights, std::vector<ParameterPlan> before,
                      const std::vector<ParameterPlan>& now);
// The calibration that the student had, into the plan of the same formats.
void add_saved_calibration(const std::vector<Parameter>& parameters, const StateTensors& weights,
                           std::vector<ParameterPlan>& plan);

}  // namespace tercet::job
