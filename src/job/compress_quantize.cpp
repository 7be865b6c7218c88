// The middle stages of the compress job: calibrate, quantize, fine-tune.
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "compress_job.hpp"
#include "starting_points.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "training_options.hpp"

namespace tercet::job {

namespace {

CalibrationOptions calibration_options(const JobConfig& config) {
  CalibrationOptions options;
  options.samples = config.calibration.samples.value_or(500);
  options.sequence_length = config.data.sequence_length;
  options.shards = config.calibration.shards;
  options.batch = config.calibration.batch;
  options.second_moment = config.calibration.second_moment ||
                          (config.quantization.solver == "compensated" && !config.quantization.solver_sequential);
  return options;
}

}  // namespace

void CompressJob::calibrate_layers() {
  const CalibrationOptions options = calibration_options(config_);
  statistics_ = calibrate(comm_, original_->decoder, options, [&](std::uint64_t index, std::span<std::int64_t> ids) {
    dataset_->training_sample(index, ids);
  });
  log::info("calibrated " + std::to_string(statistics_.size()) + " linear layers on " +
            format_count(static_cast<std::uint64_t>(options.samples)) + " sequences");
}

void CompressJob::quantize() {
  std::vector<ParameterPlan> storage = plan_storage(config_.quantization, original_->decoder.parameters());
  Decoder copy = original_->decoder.clone();
  copy.set_activation_bits(static_cast<int>(config_.quantization.activation_bits));
  if (config_.quantization.solver == "compensated") {
    const auto sample = [&](std::uint64_t index, std::span<std::int64_t> ids) {
      dataset_->training_sample(index, ids);
    };
    const auto reports = solve_starting_points(comm_,
                                               {solver_options(config_.quantization),
                                                config_.quantization.solver_sequential,
                                                calibration_options(config_),
                                                sample,
                                                {}},
                                               statistics_, copy, storage);
    run_file_.provenance(kSolverKey, solver_record(reports));
  } else {
    add_calibration(comm_, original_->decoder.parameters(), statistics_, storage);
  }
  student_.emplace(std::move(copy), storage);
  layers_ = describe_layers(*student_, statistics_, original_->decoder.parameters());
  run_file_.layers(layers_);
  quantized_ = evaluate_here(student_->decoder(), &original_->decoder);
  record_evaluation("quantized", quantized_);
}

void CompressJob::fine_tune() {
  TrainerCallbacks callbacks;
  callbacks.sample = [&](std::uint64_t index, std::span<std::int64_t> ids) { dataset_->training_sample(index, ids); };
  callbacks.held_out_loss = [&] { return evaluate_here(student_->decoder(), &original_->decoder, true).nll; };
  callbacks.on_step = [&](const StepRecord& step) {
    record("training/loss", step.step, step.loss, "nats");
    record("training/kl", step.step, step.kl, "nats");
    record("training/cross_entropy", step.step, step.cross_entropy, "nats");
    record("training/gradient_norm", step.step, step.gradient_norm, "1");
    record("training/learning_rate", step.step, step.learning_rate, "1");
    record("training/tokens_per_second", step.step, step.tokens_per_second, "tokens/s");
    record("training/overlapped_buckets", step.step, step.overlapped_buckets, "1");
  };
  callbacks.on_evaluation = [&](std::int64_t step, double loss) {
    record("training/held_out_perplexity", step, std::exp(loss), "1");
    log::info("step " + std::to_string(step) + ": held-out perplexity " + format_fixed(std::exp(loss), 4));
  };
  const TrainerOptions options =
      training_options(config_, runtime_.device(), directory_.checkpoints(), fingerprint(config_) + model_hash_);
  training_ = run_training(comm_, *student_, &original_->decoder, options, callbacks);
  layers_ = describe_layers(*student_, statistics_);
  run_file_.layers(layers_);
}

}  // namespace tercet::job
