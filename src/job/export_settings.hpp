// The export section of a configuration, for the model of a job.
#pragma once

#include <string>
#include <vector>

#include "model_loader.hpp"
#include "tercet/artifact/export_format.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

ExportSettings export_settings(const JobConfig& config, const LoadedModel& model);

// The packed model that `storage` will make of `model`, with tensors of the right types and sizes, not filled.
PackedModel unfilled_artifact(const Decoder& model, const std::vector<ParameterPlan>& storage, int activation_bits);

}  // namespace tercet::job
