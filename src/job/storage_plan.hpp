// How each parameter of a model is to be stored, from the quantization section of the configuration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tercet/artifact/packed_model.hpp"
#include "tercet/calib/calibrate.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/store/run_file.hpp"
#include "tercet/store/work_log.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

// Every matrix inside the blocks takes the configured format, embedding and head their configured bits, or what the
// last row of quantization.layers that names them says; the rest is fp16, and so is what matches a skip pattern. Throws
// ConfigError for a pattern or row that matches nothing, when nothing is left of the blocks to quantize although
// `format` is a grid, and for a group size that does not divide a width where it must, with the nearest that does.
std::vector<ParameterPlan> plan_storage(const QuantizationSection& settings, const std::vector<Parameter>& parameters);

// The packed model of such a plan with tensors of the right types and sizes, not filled.
PackedModel unfilled_artifact(const JobConfig& config, const Decoder& model, const std::vector<ParameterPlan>& storage);

// Names the formats of all parameters: what work that depends on them is kept under.
std::string storage_key(const std::vector<ParameterPlan>& storage);

bool needs_calibration(const ParameterPlan& entry);  // a grid by the calibrated rule

enum class CalibrationScope { kAll, kOutsideBlocks };
// Collective. Adds what the calibrated rule needs; parameters are shared out over the ranks and the results exchanged.
// Those without statistics (an embedding that is not the head) weigh their columns equally. What is found in `done` is
// not computed again; `stop` is asked between parameters. Both may be null. Where weights are streamed, one block is
// worked on at a time, and what was found for it lies in a file of `folder`, which all ranks see.
void add_calibration(Communicator& comm, const std::vector<Parameter>& parameters,
                     const std::vector<LayerStatistics>& statistics, CalibrationScope scope,
                     std::vector<ParameterPlan>& plan, WorkLog* done, StopControl* stop,
                     const std::filesystem::path& folder);

// One row per parameter that is stored in fewer than 16 bits: scales of the masters, errors of what the student sees
// against `reference`, the parameters of another model, or without one against the masters.
std::vector<LayerRecord> describe_layers(const Student& student, const std::vector<LayerStatistics>& statistics,
                                         const std::vector<Parameter>& reference = {});

}  // namespace tercet::job
