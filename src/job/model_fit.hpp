// What a configuration asks of a model, beside what that model has.
#pragma once

#include <string>
#include <vector>

#include "storage_plan.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet::job {

// Throws ConfigError where a key names a block that the model does not have.
void check_fit(const JobConfig& config, const ModelConfig& model);

// What comes out other than the configuration says, a sentence each: groups whose last one is short, a window of more
// blocks than there are. `storage` has an entry for each parameter.
std::vector<std::string> fit_notes(const JobConfig& config, const Decoder& model,
                                   const std::vector<ParameterPlan>& storage);

}  // namespace tercet::job
