// A compress job as its configuration and model describe it, with nothing done yet: what `plan` reckons with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model_loader.hpp"
#include "pretended_world.hpp"
#include "storage_plan.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/text/text_estimate.hpp"
#include "tercet/train/trainer.hpp"

namespace tercet::job {

// Of the packed file, where bits per layer are to be chosen.
struct PackedRange {
  std::uint64_t smallest = 0, largest = 0;
  std::optional<std::uint64_t> budget;  // nullopt: the target is the perplexity
};

struct PlannedJob {
  JobConfig config;  // with the defaults of the model's size
  std::string device;
  int ranks = 1;

  LoadedModel model;
  std::vector<ParameterPlan> storage;  // with a target, one choice that meets it, or the largest; of the last stage
  std::vector<std::vector<ParameterPlan>> earlier_stages;  // of progressive compression
  std::optional<PackedRange> range;                        // with a target
  TrainerOptions training;                                 // schedule.total_steps 0: no training
  std::vector<TextEstimate> sources;                       // one per entry of data.sources
  std::uint64_t evaluation_tokens = 0;                     // about, of data.evaluation or the held-out documents

  std::uint64_t parameters() const { return static_cast<std::uint64_t>(model.decoder.parameter_count()); }
  std::uint64_t text_tokens() const;  // about
};

// Not collective. Loads the model, looks at the text. Throws DataError for input that cannot be used; settings that
// cannot work are left to find_problems.
PlannedJob plan_job(JobConfig config, const std::string& device, int ranks);

// The parameters as training would hold them, on the meta device: shapes and types without memory.
std::vector<TrainedParameter> planned_parameters(const PlannedJob& job);
// What a checkpoint of the training would hold, likewise.
StateTensors planned_state(const PlannedJob& job);

WorldItems items_of(const PlannedJob& job);

}  // namespace tercet::job
