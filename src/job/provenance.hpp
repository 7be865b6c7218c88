// Where an artifact comes from, as it is written into it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tercet/config/job_config.hpp"

namespace tercet::job {

// Of the job alone, nothing of how it was run: where codes and scales are the same, so is the packed file, to the byte.
nlohmann::json provenance_of(const JobConfig& config, const std::string& model_sha256);

}  // namespace tercet::job
