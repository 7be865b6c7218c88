// The export section of a configuration, for the model of a job.
#pragma once

#include "model_loader.hpp"
#include "tercet/artifact/export_format.hpp"
#include "tercet/config/job_config.hpp"

namespace tercet::job {

ExportSettings export_settings(const JobConfig& config, const LoadedModel& model);

}  // namespace tercet::job
