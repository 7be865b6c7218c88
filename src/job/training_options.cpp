#include "training_options.hpp"

#include <algorithm>
#include <cmath>

#include "tercet/base/error.hpp"

namespace tercet::job {
namespace {

OptimizerOptions optimizer_options(const TrainingSection& training, bool bfloat16) {
  OptimizerOptions options;
  options.kind = training.optimizer;
  options.learning_rate = training.learning_rate;
  options.matrix_learning_rate = training.matrix_learning_rate;
  options.beta1 = training.beta1;
  options.beta2 = training.beta2;
  options.epsilon = training.epsilon;
  options.weight_decay = training.weight_decay;
  options.muon_learning_rate = training.muon_learning_rate;
  options.momentum = training.momentum;
  options.newton_schulz_steps = training.newton_schulz_steps;
  options.newton_schulz_bfloat16 = bfloat16;
  options.grokfast_alpha = training.grokfast_alpha;
  options.grokfast_lambda = training.grokfast_lambda;
  return options;
}

}  // namespace

BlockwiseOptions blockwise_options(const JobConfig& config, const std::string& device) {
  BlockwiseOptions options;
  options.samples = config.blockwise.samples;
  options.sequence_length = config.data.sequence_length;
  options.sequences_per_step = config.blockwise.batch;
  options.micro_batch = config.training.micro_batch;
  options.epochs = config.blockwise.epochs;
  options.window = config.blockwise.window;
  options.by_parts = config.blockwise.by_parts;
  options.softening = config.blockwise.softening;
  options.scale_epochs = config.blockwise.scale_epochs;
  options.scale_learning_rate = config.blockwise.scale_learning_rate;
  options.bfloat16 = config.training.bfloat16 && has_bfloat16(device);
  options.optimizer = optimizer_options(config.training, options.bfloat16);
  options.optimizer.kind = "adamw";
  options.optimizer.learning_rate = config.blockwise.learning_rate;
  options.optimizer.matrix_learning_rate = 0;
  options.gradient_clip = config.training.gradient_clip;
  options.bucket_bytes = static_cast<std::uint64_t>(config.distributed.bucket_mb * 1e6);
  return options;
}

TrainerOptions training_options(const JobConfig& config, const std::string& device,
                                const std::filesystem::path& checkpoints, const std::string& job_fingerprint) {
  const TrainingSection& training = config.training;
  TrainerOptions options;
  options.sequence_length = config.data.sequence_length;
  options.sequences_per_step = training.global_batch_tokens / config.data.sequence_length;
  options.micro_batch = training.micro_batch;
  options.distillation = training.distillation;
  options.token_scaled_kl = training.token_scaled_kl;
  options.hidden_loss = training.hidden_loss;
  options.relation_loss = training.relation_loss;
  options.relation_block = training.relation_block;
  options.softening = training.softening;
  options.schedule.total_steps = training.tokens / training.global_batch_tokens;
  if (options.schedule.total_steps < 1) {
    throw ConfigError(
        "training.tokens is less than one step",
        std::to_string(training.tokens) + " tokens, a step has " + std::to_string(training.global_batch_tokens),
        "raise training.tokens or set training.enabled: false");
  }
  options.schedule.warmup_steps =
      std::lround(training.warmup_fraction * static_cast<double>(options.schedule.total_steps));
  options.schedule.decay = training.schedule;
  options.schedule.final_factor = training.final_learning_rate;
  options.schedule.hold = training.hold;
  options.schedule.second_stage = training.second_stage_learning_rate;
  options.schedule.second_stage_at = training.second_stage_at;
  options.bfloat16 = training.bfloat16 && has_bfloat16(device);
  options.optimizer = optimizer_options(training, options.bfloat16);
  options.gradient_clip = training.gradient_clip;
  options.qk_clip = training.qk_clip;
  options.bucket_bytes = static_cast<std::uint64_t>(config.distributed.bucket_mb * 1e6);
  options.evaluate_every = training.evaluate_every > 0 ? training.evaluate_every
                                                       : std::max<std::int64_t>(1, options.schedule.total_steps / 10);
  options.patience = training.patience;
  options.checkpoint_every = config.checkpoint.every_steps;
  options.checkpoint = {checkpoints, static_cast<int>(config.checkpoint.keep), config.checkpoint.asynchronous};
  options.fingerprint = job_fingerprint;
  options.lead_s = config.checkpoint.lead_s;
  return options;
}

TrainerOptions polish_options(const JobConfig& config, const std::string& device,
                              const std::filesystem::path& checkpoints, const std::string& job_fingerprint) {
  TrainerOptions options = training_options(config, device, checkpoints, job_fingerprint);
  const std::int64_t step_tokens = config.training.global_batch_tokens;
  options.stage = "polish";
  options.schedule = {(config.training.polish_tokens + step_tokens - 1) / step_tokens, 0, "linear", 0.0};
  options.evaluate_every = std::max<std::int64_t>(1, options.schedule.total_steps / 4);
  options.patience = 0;
  options.qk_clip = 0;  // scales masters, which are scales here
  options.optimizer.kind = "adamw";
  options.optimizer.learning_rate = config.training.polish_learning_rate;
  options.optimizer.matrix_learning_rate = 0;
  options.optimizer.weight_decay = 0;
  return options;
}

}  // namespace tercet::job
