// The trainer's options from the configuration.
#pragma once

#include <filesystem>
#include <string>

#include "tercet/config/job_config.hpp"
#include "tercet/train/blockwise.hpp"
#include "tercet/train/trainer.hpp"

namespace tercet::job {

// `checkpoints` is the folder for them. Throws ConfigError when the budget is less than one step.
TrainerOptions polish_options(const JobConfig& config, const std::string& device,
                              const std::filesystem::path& checkpoints, const std::string& job_fingerprint);
TrainerOptions training_options(const JobConfig& config, const std::string& device,
                                const std::filesystem::path& checkpoints, const std::string& job_fingerprint);

BlockwiseOptions blockwise_options(const JobConfig& config, const std::string& device);

}  // namespace tercet::job
