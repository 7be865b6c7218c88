#include "tercet/train/trainer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <map>

#include "autocast.hpp"
#include "qk_clip.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/number_json.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "tercet/train/loss.hpp"

namespace tercet {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr int kBadStepsAllowed = 3;

class TrainingRun {
 public:
  TrainingRun(Communicator& comm, Student& student, const Decoder* teacher, const TrainerOptions& options,
              const TrainerCallbacks& callbacks)
      : comm_(comm),
        student_(student),
        teacher_(teacher),
        options_(options),
        callbacks_(callbacks),
        device_(student.parameters().front().master.device()),
        buckets_(comm, student.parameters(), options.bucket_bytes),
        optimizer_(make_optimizer(student.parameters(), options.optimizer, comm.size())),
        qk_clip_(student, options.qk_clip) {
    const auto [begin, end] =
        shards_of_rank(static_cast<std::uint64_t>(options.sequences_per_step), comm.rank(), comm.size());
    mine_ = {begin, end};
  }

  TrainingResult run() {
    resume();
    if (options_.checkpoint_every > 0) checkpoints_.emplace(comm_, options_.checkpoint);
    log::Progress progress(options_.stage, static_cast<std::uint64_t>(options_.schedule.total_steps), "steps");
    while (step_ < options_.schedule.total_steps && !result_.stopped_early) {
      const StepRecord record = take_step();
      progress.update(static_cast<std::uint64_t>(step_), "loss " + format_fixed(record.loss, 4) + ", " +
                                                             format_fixed(record.tokens_per_second, 0) + " tokens/s");
      if (callbacks_.on_step) callbacks_.on_step(record);
      if (evaluation_due()) evaluate();
      const bool stopping = all_reduce_value(comm_, std::int64_t{stop_requested()}, Reduce::kMax) != 0;
      if (options_.checkpoint_every > 0 && (stopping || step_ % options_.checkpoint_every == 0)) save();
      if (stopping) wait_for_checkpoint();
      if (stopping)
        throw StopRequested(options_.stage + " stopped on request after step " + std::to_string(step_), "",
                            "start the same command again to go on");
    }
    finish();
    wait_for_checkpoint();
    return result_;
  }

 private:
  StepRecord take_step() {
    const auto begin = Clock::now();
    student_.requantize();
    buckets_.zero();
    qk_clip_.watch();
    std::array<double, 2> sums = forward_and_backward();
    buckets_.finish();
    comm_.all_reduce(std::span<double>(sums), Reduce::kSum);  // after the buckets: the same order on every rank
    StepRecord record;
    record.gradient_norm = clip_gradients(student_.parameters(), options_.gradient_clip);
    const double factor = learning_rate_factor(options_.schedule, step_);
    const bool take = std::isfinite(record.gradient_norm);
    if (take) {
      optimizer_->step(comm_, factor);
      bad_steps_ = 0;
    }
    record.largest_attention_logit = qk_clip_.apply(comm_, take);
    if (!take) refuse_step();
    ++step_;
    const double seconds = seconds_since(begin);
    result_.seconds += seconds;
    fill(record, sums, factor, seconds);
    return record;
  }

  // The gradient is the same on all ranks, so all of them come here together.
  void refuse_step() {
    log::warn("step " + std::to_string(step_ + 1) + " is not taken: the gradient is not finite");
    if (++bad_steps_ < kBadStepsAllowed) return;
    throw NumericError("training diverged at step " + std::to_string(step_ + 1),
                       std::to_string(kBadStepsAllowed) + " gradients in a row were not finite",
                       "lower training.learning_rate and training.muon_learning_rate, or check the text");
  }

  void fill(StepRecord& record, const std::array<double, 2>& sums, double factor, double seconds) {
    const auto sequences = static_cast<double>(options_.sequences_per_step);
    const auto length = static_cast<double>(options_.sequence_length);
    record.step = step_;
    record.kl = sums[0] / (sequences * length);
    record.cross_entropy = sums[1] / (sequences * (length - 1));
    record.loss = kl_share() * record.kl + (1 - kl_share()) * record.cross_entropy;
    record.learning_rate = options_.optimizer.learning_rate * factor;
    record.tokens_per_second = sequences * length / seconds;
    record.overlapped_buckets =
        static_cast<double>(buckets_.started_during_backward()) / static_cast<double>(buckets_.bucket_count());
    if (step_ == 1) result_.first_loss = record.loss;
    result_.last_loss = record.loss;
  }

  double kl_share() const { return teacher_ == nullptr ? 0.0 : options_.distillation; }

  // This rank's sequences of the step in micro-batches. Returns its sums {KL, cross-entropy}.
  std::array<double, 2> forward_and_backward() {
    std::array<double, 2> sums{};
    for (std::uint64_t begin = mine_.begin; begin < mine_.end;
         begin += static_cast<std::uint64_t>(options_.micro_batch)) {
      const std::uint64_t end = std::min(mine_.end, begin + static_cast<std::uint64_t>(options_.micro_batch));
      if (end == mine_.end) buckets_.arm();
      const LossResult loss = micro_batch(read_batch(begin, end));
      sums[0] += loss.kl_sum;
      sums[1] += loss.cross_entropy_sum;
    }
    return sums;
  }

  at::Tensor read_batch(std::uint64_t begin, std::uint64_t end) {
    const auto length = static_cast<std::size_t>(options_.sequence_length);
    at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), options_.sequence_length}, at::kLong);
    std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
    const auto first = static_cast<std::uint64_t>(step_ * options_.sequences_per_step);
    for (std::uint64_t i = begin; i < end; ++i) callbacks_.sample(first + i, {data + (i - begin) * length, length});
    return ids.to(device_);
  }

  LossResult micro_batch(const at::Tensor& ids) {
    const auto positions = static_cast<double>(options_.sequences_per_step * options_.sequence_length);
    const auto predictions = static_cast<double>(options_.sequences_per_step * (options_.sequence_length - 1));
    LossResult loss;
    {
      const train::AutocastScope autocast(device_.type(), options_.bfloat16);
      at::Tensor target;
      if (kl_share() > 0) {
        const at::NoGradGuard no_grad;
        target = teacher_->forward(ids);
      }
      loss = distillation_loss(student_.decoder().forward(ids), target, ids, kl_share() / positions,
                               (1 - kl_share()) / predictions);
    }
    torch::autograd::backward({loss.loss}, {});
    return loss;
  }

  bool evaluation_due() const {
    return callbacks_.held_out_loss && options_.evaluate_every > 0 && step_ % options_.evaluate_every == 0 &&
           step_ < options_.schedule.total_steps;
  }

  void evaluate() {
    student_.requantize();
    evaluated_at_ = step_;
    const double loss = callbacks_.held_out_loss();
    if (callbacks_.on_evaluation) callbacks_.on_evaluation(step_, loss);
    if (!result_.best_held_out_loss || loss < *result_.best_held_out_loss) {
      result_.best_held_out_loss = loss;
      result_.best_step = step_;
      best_ = student_.copy_masters();
      without_improvement_ = 0;
    } else if (options_.patience > 0 && ++without_improvement_ >= options_.patience) {
      result_.stopped_early = true;
      log::info("training stops early at step " + std::to_string(step_) + ": no improvement since step " +
                std::to_string(result_.best_step));
    }
  }

  void finish() {
    if (callbacks_.held_out_loss && evaluated_at_ != step_) evaluate();
    if (!best_.empty() && result_.best_step != step_) student_.restore_masters(best_);
    student_.requantize();
    result_.steps = step_;
    result_.tokens = static_cast<std::uint64_t>(step_ * options_.sequences_per_step * options_.sequence_length);
  }

  void save() {
    StateTensors tensors = optimizer_->state();
    for (std::size_t i = 0; i < student_.parameters().size(); ++i) {
      const TrainedParameter& parameter = student_.parameters()[i];
      tensors.emplace_back("master." + parameter.name, parameter.master.detach());
      if (!best_.empty()) tensors.emplace_back("best." + parameter.name, best_[i]);
    }
    for (auto& [name, tensor] : tensors) tensor = tensor.contiguous();
    nlohmann::json metadata{{"fingerprint", options_.fingerprint},
                            {"first_loss", number_to_json(result_.first_loss)},
                            {"best_step", result_.best_step},
                            {"evaluated_at", evaluated_at_},
                            {"without_improvement", without_improvement_}};
    if (result_.best_held_out_loss) metadata["best_held_out_loss"] = *result_.best_held_out_loss;
    checkpoints_->save(step_, tensors, metadata);
    report_checkpoints();
  }

  void wait_for_checkpoint() {
    if (!checkpoints_) return;
    checkpoints_->wait();
    report_checkpoints();
  }

  void report_checkpoints() {
    for (const CheckpointReport& report : checkpoints_->take_reports()) {
      ++result_.checkpoints;
      result_.checkpoint_stall_s += report.stall_s;
      if (callbacks_.on_checkpoint) callbacks_.on_checkpoint(report);
    }
  }

  void resume() {
    if (options_.checkpoint_every <= 0) return;
    const auto saved = load_newest_checkpoint(comm_, options_.checkpoint.folder, options_.fingerprint);
    if (!saved) return;
    const at::NoGradGuard no_grad;
    StateTensors optimizer_state;
    std::map<std::string, at::Tensor> by_name(saved->tensors.begin(), saved->tensors.end());
    for (const auto& [name, tensor] : saved->tensors) {
      if (name.rfind("master.", 0) != 0 && name.rfind("best.", 0) != 0) optimizer_state.emplace_back(name, tensor);
    }
    optimizer_->load(optimizer_state);
    for (TrainedParameter& parameter : student_.parameters()) {
      parameter.master.detach().copy_(by_name.at("master." + parameter.name));
      const auto best = by_name.find("best." + parameter.name);
      if (best != by_name.end()) best_.push_back(best->second.to(device_));
    }
    step_ = result_.resumed_from = saved->step;
    result_.first_loss = number_from_json(saved->metadata.at("first_loss"));
    result_.best_step = saved->metadata.at("best_step");
    evaluated_at_ = saved->metadata.at("evaluated_at");
    without_improvement_ = saved->metadata.at("without_improvement");
    result_.stopped_early = options_.patience > 0 && without_improvement_ >= options_.patience;
    if (saved->metadata.contains("best_held_out_loss")) {
      result_.best_held_out_loss = saved->metadata.at("best_held_out_loss").get<double>();
    }
    log::info(options_.stage + " goes on from step " + std::to_string(step_));
  }

  Communicator& comm_;
  Student& student_;
  const Decoder* teacher_;
  const TrainerOptions& options_;
  const TrainerCallbacks& callbacks_;
  at::Device device_;
  GradientBuckets buckets_;
  std::unique_ptr<Optimizer> optimizer_;
  train::QkClip qk_clip_;
  ShardRange mine_;
  std::int64_t step_ = 0;
  std::int64_t evaluated_at_ = -1;  // step of the last evaluation
  int bad_steps_ = 0;
  std::int64_t without_improvement_ = 0;
  std::vector<at::Tensor> best_;
  TrainingResult result_;
  std::optional<CheckpointWriter> checkpoints_;  // none without checkpoints
};

}  // namespace

TrainingResult run_training(Communicator& comm, Student& student, const Decoder* teacher, const TrainerOptions& options,
                            const TrainerCallbacks& callbacks) {
  if (options.sequences_per_step < comm.size()) {
    throw ConfigError("training.global_batch_tokens is too small for " + std::to_string(comm.size()) + " ranks",
                      "a step has " + std::to_string(options.sequences_per_step) + " sequences",
                      "start fewer ranks, or raise training.global_batch_tokens to at least " +
                          std::to_string(comm.size() * options.sequence_length));
  }
  return TrainingRun(comm, student, teacher, options, callbacks).run();
}

}  // namespace tercet
