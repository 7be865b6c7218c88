#include "tercet/train/trainer.hpp"
#include "tercet/base/clock.hpp"

#include <array>
#include <cmath>

#include "qk_clip.hpp"
#include "step_gradient.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "training_state.hpp"

namespace tercet {
namespace {

constexpr int kBadStepsAllowed = 3;  // in a row; then back to a checkpoint
constexpr int kRollbacksAllowed = 2;
constexpr double kRollbackFactor = 0.5;  // on every learning rate

class TrainingRun {
 public:
  TrainingRun(Communicator& comm, Student& student, const Decoder* teacher, const TrainerOptions& options,
              const TrainerCallbacks& callbacks)
      : comm_(comm),
        student_(student),
        options_(options),
        callbacks_(callbacks),
        buckets_(comm, student.parameters(), options.bucket_bytes),
        optimizer_(make_optimizer(student.parameters(), options.optimizer, comm.size())),
        qk_clip_(student, options.qk_clip),
        gradient_(student, teacher, options, callbacks, buckets_,
                  shards_of_rank(static_cast<std::uint64_t>(options.sequences_per_step), comm.rank(), comm.size())) {}

  TrainingResult run() {
    if (options_.checkpoint_every > 0) checkpoints_.emplace(comm_, options_.checkpoint);
    resume();
    if (gradient_.has_relations() && now_.relation_weight == 0) balance_relations();
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
    student_.requantize(hardness());
    buckets_.zero();
    qk_clip_.watch();
    train::StepSums sums = gradient_.compute(now_.step, weights());
    const bool mine_finite = sums.finite();
    buckets_.finish();
    student_.derive_gradients();
    sums = over_all_ranks(sums);  // after the buckets: the same order on every rank
    StepRecord record;
    record.gradient_norm = clip_gradients(student_.parameters(), options_.gradient_clip);
    const double factor = now_.step_scale * learning_rate_factor(options_.schedule, now_.step);
    // The same on all ranks: sums and gradients are.
    const bool take = std::isfinite(record.gradient_norm) && sums.finite();
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

  train::LossWeights weights() const { return {1, now_.relation_weight}; }

  // Collective. Finds the weight of the attention relations on the sequences of the first step, without taking it.
  void balance_relations() {
    const double rest = gradient_norm({1, 0}), relations = gradient_norm({0, 1});
    if (!(rest > 0) || !(relations > 0) || !std::isfinite(rest / relations)) {
      throw NumericError("the weight of the attention relations cannot be found",
                         "gradient norms " + format_fixed(rest, 6) + " and " + format_fixed(relations, 6),
                         "set training.relation_loss to 0");
    }
    now_.relation_weight = options_.relation_loss * rest / relations;
    log::info("attention relations weigh " + format_fixed(now_.relation_weight, 6) + " in the loss");
  }

  double gradient_norm(train::LossWeights weights) {
    student_.requantize(hardness());
    buckets_.zero();
    gradient_.compute(now_.step, weights);
    buckets_.finish();
    student_.derive_gradients();
    return clip_gradients(student_.parameters(), 0);
  }

  double hardness() const {
    const double soft_steps = options_.softening * static_cast<double>(options_.schedule.total_steps);
    return soft_steps > 0 ? std::min(1.0, static_cast<double>(now_.step) / soft_steps) : 1.0;
  }

  // Collective.
  train::StepSums over_all_ranks(const train::StepSums& mine) {
    std::array<double, 4> sums{mine.kl, mine.cross_entropy, mine.hidden, mine.relation};
    comm_.all_reduce(std::span<double>(sums), Reduce::kSum);
    return {sums[0], sums[1], sums[2], sums[3]};
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

  void fill(StepRecord& record, const train::StepSums& sums, double factor, double seconds) {
    record.step = now_.step;
    gradient_.fill(record, sums, weights());
    record.learning_rate = options_.optimizer.learning_rate * factor;
    record.tokens_per_second = static_cast<double>(options_.sequences_per_step * options_.sequence_length) / seconds;
    record.overlapped_buckets =
        static_cast<double>(buckets_.started_during_backward()) / static_cast<double>(buckets_.bucket_count());
    if (now_.step == 1) result_.first_loss = record.loss;
    result_.last_loss = record.loss;
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
  const TrainerOptions& options_;
  const TrainerCallbacks& callbacks_;
  GradientBuckets buckets_;
  std::unique_ptr<Optimizer> optimizer_;
  train::QkClip qk_clip_;
  train::StepGradient gradient_;
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
  const std::int64_t blocks = student.decoder().config().layers;
  if (options.relation_loss > 0 && options.relation_block > blocks) {
    throw ConfigError("training.relation_block names no block", "the model has " + std::to_string(blocks) + " of them",
                      "1 is the last block, " + std::to_string(blocks) + " the first");
  }
  return TrainingRun(comm, student, teacher, options, callbacks).run();
}

}  // namespace tercet
