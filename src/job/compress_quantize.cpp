// The middle stages of the compress job: calibrate, quantize, fine-tune.
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "compress_job.hpp"
#include "starting_points.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/number_json.hpp"
#include "tercet/train/scale_polish.hpp"
#include "training_options.hpp"

namespace tercet::job {

namespace {

CalibrationOptions calibration_options(const JobConfig& config) {
  CalibrationOptions options;
  options.samples = config.calibration.samples.value_or(500);
  options.sequence_length = config.data.sequence_length;
  options.shards = config.calibration.shards;
  options.batch = config.calibration.batch;
  options.second_moment = needs_second_moments(config);
  return options;
}

}  // namespace

void CompressJob::calibrate_layers() {
  CalibrationOptions options = calibration_options(config_);
  options.done = work_.get();
  options.stop = &stop_;
  statistics_ = calibrate(comm_, original_->decoder, options, [&](std::uint64_t index, std::span<std::int64_t> ids) {
    dataset_->training_sample(index, ids);
  });
  log::info("calibrated " + std::to_string(statistics_.size()) + " linear layers on " +
            format_count(static_cast<std::uint64_t>(options.samples)) + " sequences");
}

SolvingRun CompressJob::solving_run(const std::vector<ParameterPlan>& storage) {
  SolvingRun run;
  run.solver = solver_options(config_.quantization);
  run.sequential = config_.quantization.solver_sequential;
  run.calibration = calibration_options(config_);
  run.calibration.stop = &stop_;  // finished layers are kept, not the large statistics of the block under way
  run.sample = [this](std::uint64_t index, std::span<std::int64_t> ids) { dataset_->training_sample(index, ids); };
  const std::string prefix = "solve/" + storage_key(storage) + "/";
  run.folder = streamed_folder();
  run.log.find = [this, prefix](const std::string& name) {
    const auto found = work_->find(prefix + name);
    return found ? std::optional(std::string(*found)) : std::nullopt;
  };
  run.log.add = [this, prefix](const std::string& name, const std::string& bytes) { work_->add(prefix + name, bytes); };
  return run;
}

Student CompressJob::quantized_student(std::vector<ParameterPlan> storage) {
  Decoder copy = start().clone();
  copy.set_activation_bits(static_cast<int>(config_.quantization.activation_bits));
  const bool solved = config_.quantization.solver == "compensated";
  add_calibration(comm_, start().parameters(), statistics_,
                  solved ? CalibrationScope::kOutsideBlocks : CalibrationScope::kAll, storage, work_.get(), &stop_,
                  streamed_folder());
  if (solved) {
    solver_ = solver_record(solve_starting_points(comm_, solving_run(storage), statistics_, copy, storage));
  }
  return {std::move(copy), storage};
}

Student CompressJob::continued_student() const {
  Decoder copy = start().clone();
  copy.set_activation_bits(static_cast<int>(config_.quantization.activation_bits));
  return {std::move(copy), storage_};
}

void CompressJob::quantize() {
  student_.emplace(round_.trains_on() ? continued_student() : quantized_student(storage_));
  if (!solver_.is_null()) run_file_.provenance(kSolverKey, solver_);
  layers_ = describe_layers(*student_, statistics_, start().parameters());
  run_file_.layers(layers_);
  quantized_ = evaluate_here("quantized", student_->decoder(), &original_->decoder);
  record_evaluation("quantized", quantized_);
  if (!allocation_.is_null() && round_.remedy.empty()) compare_with_prediction();
}

void CompressJob::tune_each_block() {
  BlockwiseOptions options = blockwise_options(config_, runtime_.device());
  options.folder = streamed_folder();
  options.done = work_.get();
  options.stop = &stop_;
  BlockwiseCallbacks callbacks;
  callbacks.sample = [&](std::uint64_t index, std::span<std::int64_t> ids) { dataset_->training_sample(index, ids); };
  callbacks.on_block = [&](const BlockReport& report) {
    record("blockwise/error_before", report.block, report.error_before, "1");
    record("blockwise/error_after", report.block, report.error_after, "1");
  };
  tune_blocks(comm_, *student_, original_->decoder, options, callbacks);
  layers_ = describe_layers(*student_, statistics_, start().parameters());
  run_file_.layers(layers_);
  quantized_ = evaluate_here("tuned by block", student_->decoder(), &original_->decoder);
  record_evaluation("tuned by block", quantized_);
}

TrainerCallbacks CompressJob::training_callbacks(const std::string& series, std::uint64_t first_sequence) {
  TrainerCallbacks callbacks;
  callbacks.sample = [this, first_sequence](std::uint64_t index, std::span<std::int64_t> ids) {
    dataset_->training_sample(first_sequence + index, ids);
  };
  callbacks.held_out_loss = [this] { return selection_loss(); };
  callbacks.on_step = [this, series](const StepRecord& step) {
    record(series + "/loss", step.step, step.loss, "nats");
    record(series + "/kl", step.step, step.kl, "nats");
    record(series + "/cross_entropy", step.step, step.cross_entropy, "nats");
    if (config_.training.relation_loss > 0) record(series + "/relation", step.step, step.relation, "nats");
    if (config_.training.hidden_loss > 0) record(series + "/hidden", step.step, step.hidden, "1");
    record(series + "/gradient_norm", step.step, step.gradient_norm, "1");
    record(series + "/learning_rate", step.step, step.learning_rate, "1");
    record(series + "/tokens_per_second", step.step, step.tokens_per_second, "tokens/s");
    record(series + "/overlapped_buckets", step.step, step.overlapped_buckets, "1");
  };
  callbacks.on_evaluation = [this, series](std::int64_t step, double loss) {
    record(series + "/held_out_perplexity", step, std::exp(loss), "1");
    log::info("step " + std::to_string(step) + ": held-out perplexity " + format_fixed(std::exp(loss), 4));
  };
  const std::string checkpoint = series == "training" ? "checkpoint" : series + "/checkpoint";
  callbacks.on_checkpoint = [this, checkpoint](const CheckpointReport& report) {
    record(checkpoint + "/stall_s", report.step, report.stall_s, "s");
    record(checkpoint + "/write_s", report.step, report.write_s, "s");
    record(checkpoint + "/bytes", report.step, static_cast<double>(report.bytes), "bytes");
  };
  callbacks.on_bad_step = [this, first_sequence](BadStep bad) {
    bad.first_sequence += first_sequence;
    record_bad_step(bad);
  };
  return callbacks;
}

void CompressJob::fine_tune() {
  TrainerOptions options =
      training_options(config_, runtime_.device(), directory_.checkpoints(), directory_.fingerprint());
  options.stop = &stop_;
  const bool is_remedy = !round_.remedy.empty();
  const std::vector<at::Tensor> masters = is_remedy ? student_->copy_masters() : std::vector<at::Tensor>();
  const double before = is_remedy ? selection_loss() : std::numeric_limits<double>::infinity();
  training_ =
      run_training(comm_, *student_, &original_->decoder, options, training_callbacks("training", first_sequence()));
  if (is_remedy && !(training_->best_held_out_loss.value_or(before) < before)) {
    log::info("more training does not help: the weights stay as they were");
    student_->restore_masters(masters);
  }
  layers_ = describe_layers(*student_, statistics_);
  run_file_.layers(layers_);
}

void CompressJob::polish_scales() {
  TrainerOptions options =
      polish_options(config_, runtime_.device(), directory_.polish_checkpoints(), directory_.fingerprint());
  options.stop = &stop_;
  const std::uint64_t first =
      first_sequence() + training_->tokens / static_cast<std::uint64_t>(config_.data.sequence_length);
  const double before = selection_loss();
  freeze_levels(student_->parameters());
  const std::vector<at::Tensor> masters = student_->copy_masters();
  const TrainingResult polished =
      run_training(comm_, *student_, &original_->decoder, options, training_callbacks("polish", first));
  if (!(polished.best_held_out_loss.value_or(before) < before)) {
    log::info("polishing the scales does not help: they stay as they were");
    student_->restore_masters(masters);
  }
  thaw_levels(student_->parameters());
  training_->tokens += polished.tokens;
  training_->seconds += polished.seconds;
  layers_ = describe_layers(*student_, statistics_);
  run_file_.layers(layers_);
}

void CompressJob::record_bad_step(const BadStep& bad) {
  bad_steps_.push_back({{"round", round_.name},
                        {"step", bad.step},
                        {"loss", number_to_json(bad.loss)},
                        {"gradient_norm", number_to_json(bad.gradient_norm)},
                        {"ranks", bad.ranks},
                        {"first_sequence", bad.first_sequence},
                        {"sequences", bad.sequences},
                        {"consequence", bad.consequence}});
  run_file_.provenance("bad_steps.attempt-" + std::to_string(run_file_.attempt()), bad_steps_);
}

}  // namespace tercet::job
