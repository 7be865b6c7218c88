// How each parameter of a model is to be stored, from the quantization section of the configuration.
#pragma once

#include <cstdint>
#include <vector>

#include "tercet/calib/calibrate.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/store/run_file.hpp"
#include "tercet/store/work_log.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

// Every linear inside the blocks is ternary unless its name matches a skip pattern; embedding and head take their
// configured bits; the rest is fp16. Throws ConfigError for a pattern that matches nothing, or when nothing is left
// to quantize.
std::vector<ParameterPlan> plan_storage(const QuantizationSection& settings, const std::vector<Parameter>& parameters);

bool needs_thresholds(const ParameterPlan& entry);  // ternary by the calibrated rule

// Collective. Adds the calibrated thresholds; layers are shared out over the ranks and the results exchanged. Layers
// found in `done` are not solved again; `stop` is asked between layers. Both may be null.
void add_calibration(Communicator& comm, const std::vector<Parameter>& parameters,
                     const std::vector<LayerStatistics>& statistics, std::vector<ParameterPlan>& plan, WorkLog* done,
                     StopControl* stop);

// One row per parameter that is stored in fewer than 16 bits: scales of the masters, errors of what the student sees
// against `reference`, the parameters of another model, or without one against the masters.
std::vector<LayerRecord> describe_layers(const Student& student, const std::vector<LayerStatistics>& statistics,
                                         const std::vector<Parameter>& reference = {});

}  // namespace tercet::job
