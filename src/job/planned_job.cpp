#include "planned_job.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

#include "bit_choices.hpp"
#include "rounds.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "text_sources.hpp"
#include "training_options.hpp"

namespace tercet::job {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlockBytes = 1 << 20;  // of text that one rank tokenizes in one go

at::Tensor without_memory(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kMeta).requires_grad(false));
}

TrainerOptions planned_training(const JobConfig& config, const std::string& device) {
  TrainerOptions none;
  none.sequence_length = config.data.sequence_length;
  none.micro_batch = config.training.micro_batch;  // blocks are tuned with it
  none.schedule.total_steps = 0;
  const TrainingSection& training = config.training;
  const bool at_least_one_step = training.tokens >= training.global_batch_tokens;
  if (!training.enabled || !at_least_one_step) return none;
  return training_options(config, device, fs::path(config.output) / "checkpoints", "");
}

// Which choice a job will make shows only when it measures; this one has about its bytes.
void assume_allocation(PlannedJob& job) {
  const BitChoices choices(job.config, job.model.decoder);
  check_budget(job.config, job.model.decoder, choices, job.model.weight_bytes);
  const Frontier frontier = choices.frontier(choices.assumed_losses());
  const auto budget = byte_budget(job.config, job.model.decoder, job.model.weight_bytes);
  job.range = PackedRange{choices.smallest_bytes(), choices.largest_bytes(), budget};
  job.storage = choices.storage((budget ? choices.within(frontier, *budget) : frontier.finest()).candidates);
}

// What the plan says of files and memory is about the last stage.
void plan_stages(PlannedJob& job) {
  const std::vector<Parameter>& parameters = job.model.decoder.parameters();
  const std::size_t stages = std::max<std::size_t>(1, job.config.progressive.formats.size());
  for (std::size_t stage = 0; stage + 1 < stages; ++stage)
    job.earlier_stages.push_back(plan_storage(settings_of_stage(job.config, stage), parameters));
  job.config.quantization = settings_of_stage(job.config, stages - 1);
  job.storage = plan_storage(job.config.quantization, parameters);
}

std::uint64_t held_out_tokens(const PlannedJob& job) {
  return static_cast<std::uint64_t>(job.config.data.held_out_fraction * static_cast<double>(job.text_tokens()));
}

}  // namespace

std::uint64_t PlannedJob::text_tokens() const {
  return std::accumulate(sources.begin(), sources.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const TextEstimate& source) { return sum + source.tokens; });
}

PlannedJob plan_job(JobConfig config, const std::string& device, int ranks) {
  const Residence residence = streams_weights(config) ? Residence::kStreamed : Residence::kResident;
  LoadedModel model = load_model(config.model.path, config.model.tokenizer, device, WeightForm::kDense, residence);
  PlannedJob job{std::move(config), device, ranks, std::move(model), {}, {}, {}, {}, {}, 0};
  adapt_to_size(job.config, job.model.decoder.parameter_count());
  plan_stages(job);
  if (has_target(job.config)) assume_allocation(job);
  job.training = planned_training(job.config, device);
  for (const TextSource& source : dataset_options(job.config).sources) {
    job.sources.push_back(estimate_text(source, *job.model.tokenizer));
  }
  job.evaluation_tokens = held_out_tokens(job);
  if (!job.config.data.evaluation.empty()) job.evaluation_tokens = 0;
  for (const std::string& file : job.config.data.evaluation) {
    job.evaluation_tokens += estimate_text({file, 1.0, "text"}, *job.model.tokenizer).tokens;
  }
  return job;
}

std::vector<TrainedParameter> planned_parameters(const PlannedJob& job) {
  std::vector<TrainedParameter> parameters;
  for (std::size_t i = 0; i < job.storage.size(); ++i) {
    const Parameter& parameter = job.model.decoder.parameters()[i];
    parameters.push_back({parameter.name,
                          parameter.role,
                          parameter.input_first,
                          job.storage[i].spec,
                          {},
                          without_memory(parameter.value),
                          without_memory(parameter.value)});
  }
  return parameters;
}

StateTensors planned_state(const PlannedJob& job) {
  if (job.training.schedule.total_steps == 0) return {};
  std::vector<TrainedParameter> parameters = planned_parameters(job);
  StateTensors state = make_optimizer(parameters, job.training.optimizer, job.ranks)->state();
  for (const TrainedParameter& parameter : parameters) {
    state.emplace_back("master." + parameter.name, parameter.master);
    state.emplace_back("best." + parameter.name, parameter.master);
  }
  return state;
}

WorldItems items_of(const PlannedJob& job) {
  WorldItems items;
  items.calibration_samples = static_cast<std::uint64_t>(job.config.calibration.samples.value_or(0));
  items.calibration_shards = static_cast<std::uint64_t>(job.config.calibration.shards);
  if (job.training.schedule.total_steps > 0) {
    items.sequences_per_step = static_cast<std::uint64_t>(job.training.sequences_per_step);
  }
  const auto wanted = static_cast<std::uint64_t>(job.config.evaluation.windows);
  const std::uint64_t there = job.evaluation_tokens / static_cast<std::uint64_t>(job.config.evaluation.sequence_length);
  items.evaluation_windows = wanted == 0 ? there : std::min(wanted, there);
  items.selection_windows = std::min(kSelectionWindows, there);
  items.evaluation_batch = static_cast<std::uint64_t>(job.config.evaluation.batch);
  items.calibrated_layers =
      static_cast<std::uint64_t>(std::count_if(job.storage.begin(), job.storage.end(), needs_calibration));
  for (const TextEstimate& source : job.sources) items.text_blocks += 1 + source.bytes / kBlockBytes;
  return items;
}

}  // namespace tercet::job
