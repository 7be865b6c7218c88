#include "tercet/train/trainer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <chrono>
#include <cmath>

#include "autocast.hpp"
#include "qk_clip.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "tercet/train/loss.hpp"
#include "training_state.hpp"

namespace tercet {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr int kBadStepsAllowed = 3;  // in a row; then back to a checkpoint
constexpr int kRollbacksAllowed = 2;
constexpr double kRollbackFactor = 0.5;  // on every learning rate

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
    if (options_.checkpoint_every > 0) checkpoints_.emplace(comm_, options_.checkpoint);
    resume();
    log::Progress progress(options_.stage, static_cast<std::uint64_t>(options_.schedule.total_steps), "steps");
    while (now_.step < options_.schedule.total_steps && !result_.stopped_early) {
      const auto begin = Clock::now();
      const StepRecord record = take_step();
      progress.update(
          static_cast<std::uint64_t>(now_.step),
          "loss " + format_fixed(record.loss, 4) + ", " + format_fixed(record.tokens_per_second, 0) + " tokens/s");
      if (callbacks_.on_step && record.step > 0) callbacks_.on_step(record);
      if (evaluation_due()) evaluate();
      now_.slowest_step_s = std::max(now_.slowest_step_s, seconds_since(begin));
      const bool stopping = options_.stop != nullptr && options_.stop->due(needed_lead_s());
      if (checkpoint_due(stopping)) save();
      if (stopping) wait_for_checkpoint();
      if (stopping) options_.stop->leave(options_.stage + ", after step " + std::to_string(now_.step) + ",");
      warn_of_short_lead();
    }
    finish();
    wait_for_checkpoint();
    return result_;
  }

 private:
  // Without a result (step 0) when the step sent the run back to a checkpoint.
  StepRecord take_step() {
    const auto begin = Clock::now();
    student_.requantize();
    buckets_.zero();
    qk_clip_.watch();
    std::array<double, 2> sums = forward_and_backward();
    const bool mine_finite = std::isfinite(sums[0]) && std::isfinite(sums[1]);
    buckets_.finish();
    comm_.all_reduce(std::span<double>(sums), Reduce::kSum);  // after the buckets: the same order on every rank
    StepRecord record;
    record.gradient_norm = clip_gradients(student_.parameters(), options_.gradient_clip);
    const double factor = now_.step_scale * learning_rate_factor(options_.schedule, now_.step);
    // The same on all ranks: sums and gradients are.
    const bool take = std::isfinite(record.gradient_norm) && std::isfinite(sums[0]) && std::isfinite(sums[1]);
    if (take) {
      optimizer_->step(comm_, factor);
      now_.bad_steps = 0;
    }
    record.largest_attention_logit = qk_clip_.apply(comm_, take);
    ++now_.step;
    const double seconds = seconds_since(begin);
    result_.seconds += seconds;
    fill(record, sums, factor, seconds);
    if (!take && refuse_step(record, mine_finite)) return {};
    return record;
  }

  // Collective. True when the run went back to a checkpoint.
  bool refuse_step(const StepRecord& record, bool mine_finite) {
    BadStep bad{now_.step, record.loss, record.gradient_norm, {}, 0, 0, "left out"};
    const std::vector<std::string> finite = comm_.all_gather(mine_finite ? "yes" : "no");
    for (std::size_t rank = 0; rank < finite.size(); ++rank) {
      if (finite[rank] == "no") bad.ranks.push_back(static_cast<int>(rank));
    }
    bad.sequences = static_cast<std::uint64_t>(options_.sequences_per_step);
    bad.first_sequence = static_cast<std::uint64_t>(now_.step - 1) * bad.sequences;
    log::warn("step " + std::to_string(now_.step) + " is not taken: loss " + format_fixed(record.loss, 4) +
              ", gradient norm " + format_fixed(record.gradient_norm, 4));
    std::optional<Checkpoint> good;
    const bool too_many = ++now_.bad_steps == kBadStepsAllowed;
    if (too_many && result_.rollbacks < kRollbacksAllowed) good = newest_checkpoint();
    if (too_many) bad.consequence = good ? "back to step " + std::to_string(good->step) : "stopped";
    if (callbacks_.on_bad_step) callbacks_.on_bad_step(bad);
    if (good) roll_back(*good);
    if (too_many && !good) diverged();
    return good.has_value();
  }

  void roll_back(const Checkpoint& good) {
    const double scale = now_.step_scale;
    const int rollbacks = result_.rollbacks;
    restore(good);
    now_.step_scale = scale * kRollbackFactor;
    result_.rollbacks = rollbacks + 1;
    now_.bad_steps = 0;
    log::warn(options_.stage + " goes back to step " + std::to_string(now_.step) + ", with learning rates times " +
              format_fixed(now_.step_scale, 3));
  }

  [[noreturn]] void diverged() const {
    throw NumericError("training diverged at step " + std::to_string(now_.step),
                       std::to_string(kBadStepsAllowed) + " steps in a row were not finite, after " +
                           std::to_string(result_.rollbacks) + " returns to a checkpoint",
                       "lower training.learning_rate and training.muon_learning_rate, or look at the text; the record "
                       "of the run names the sequences");
  }

  // The state after the last step is saved by finish(), evaluated. Amid bad steps there is nothing worth going back to.
  bool checkpoint_due(bool stopping) const {
    if (options_.checkpoint_every <= 0 || now_.step == saved_step_) return false;
    const bool regular = now_.step % options_.checkpoint_every == 0 && now_.step < options_.schedule.total_steps;
    return stopping || (regular && now_.bad_steps == 0);
  }

  // What it takes to get from one border to the next and to save there.
  double needed_lead_s() const { return now_.slowest_step_s + 1.5 * now_.slowest_save_s; }

  void warn_of_short_lead() {
    if (lead_warned_ || options_.lead_s >= needed_lead_s()) return;
    lead_warned_ = true;
    log::warn("a warning of " + format_duration(options_.lead_s) +
              " (checkpoint.lead_s) is too short to save: a step " + "took " + format_duration(now_.slowest_step_s) +
              ", a checkpoint " + format_duration(now_.slowest_save_s) + "; ask the batch system for at least " +
              format_duration(needed_lead_s()));
  }

  void fill(StepRecord& record, const std::array<double, 2>& sums, double factor, double seconds) {
    const auto sequences = static_cast<double>(options_.sequences_per_step);
    const auto length = static_cast<double>(options_.sequence_length);
    record.step = now_.step;
    record.kl = sums[0] / (sequences * length);
    record.cross_entropy = sums[1] / (sequences * (length - 1));
    record.loss = kl_share() * record.kl + (1 - kl_share()) * record.cross_entropy;
    record.learning_rate = options_.optimizer.learning_rate * factor;
    record.tokens_per_second = sequences * length / seconds;
    record.overlapped_buckets =
        static_cast<double>(buckets_.started_during_backward()) / static_cast<double>(buckets_.bucket_count());
    if (now_.step == 1) result_.first_loss = record.loss;
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
    const auto first = static_cast<std::uint64_t>(now_.step * options_.sequences_per_step);
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
    return callbacks_.held_out_loss && options_.evaluate_every > 0 && now_.step % options_.evaluate_every == 0 &&
           now_.step < options_.schedule.total_steps;
  }

  void evaluate() {
    student_.requantize();
    now_.evaluated_at = now_.step;
    const double loss = callbacks_.held_out_loss();
    if (callbacks_.on_evaluation) callbacks_.on_evaluation(now_.step, loss);
    if (!result_.best_held_out_loss || loss < *result_.best_held_out_loss) {
      result_.best_held_out_loss = loss;
      result_.best_step = now_.step;
      best_ = student_.copy_masters();
      now_.without_improvement = 0;
    } else if (options_.patience > 0 && ++now_.without_improvement >= options_.patience) {
      result_.stopped_early = true;
      log::info("training stops early at step " + std::to_string(now_.step) + ": no improvement since step " +
                std::to_string(result_.best_step));
    }
  }

  void finish() {
    if (callbacks_.held_out_loss && now_.evaluated_at != now_.step) evaluate();
    if (options_.checkpoint_every > 0 && saved_step_ != now_.step) save();
    if (!best_.empty() && result_.best_step != now_.step) student_.restore_masters(best_);
    student_.requantize();
    result_.steps = now_.step;
    result_.tokens = static_cast<std::uint64_t>(now_.step * options_.sequences_per_step * options_.sequence_length);
  }

  void save() {
    const auto begin = Clock::now();
    nlohmann::json metadata = train::to_metadata(now_, result_);
    metadata["fingerprint"] = options_.fingerprint;
    checkpoints_->save(now_.step, train::collect_tensors(*optimizer_, student_, best_), metadata);
    saved_step_ = now_.step;
    now_.slowest_save_s = std::max(now_.slowest_save_s, seconds_since(begin));
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
      now_.slowest_save_s = std::max(now_.slowest_save_s, report.stall_s + report.write_s);
      if (callbacks_.on_checkpoint) callbacks_.on_checkpoint(report);
    }
  }

  std::optional<Checkpoint> newest_checkpoint() {
    if (!checkpoints_) return std::nullopt;
    wait_for_checkpoint();
    return load_newest_checkpoint(comm_, options_.checkpoint.folder, options_.fingerprint);
  }

  void resume() {
    const std::optional<Checkpoint> saved = newest_checkpoint();
    if (!saved) return;
    restore(*saved);
    result_.resumed_from = now_.step;
    log::info(options_.stage + " goes on from step " + std::to_string(now_.step));
    warn_of_short_lead();
  }

  void restore(const Checkpoint& saved) {
    train::restore_tensors(saved.tensors, *optimizer_, student_, best_);
    train::from_metadata(saved.metadata, now_, result_);
    now_.step = saved_step_ = saved.step;
    result_.stopped_early = options_.patience > 0 && now_.without_improvement >= options_.patience;
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
  train::TrainingProgress now_;
  std::int64_t saved_step_ = -1;  // of the newest checkpoint
  bool lead_warned_ = false;
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
