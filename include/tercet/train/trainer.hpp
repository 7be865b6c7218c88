// The training loop: data parallel, gradient accumulation to a global batch, distillation from the full-precision
// teacher, evaluation with the best state kept, checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/comm/stop_control.hpp"
#include "tercet/store/checkpoint.hpp"
#include "tercet/train/optimizer.hpp"
#include "tercet/train/schedule.hpp"
#include "tercet/train/student.hpp"

namespace tercet {

struct TrainerOptions {
  std::string stage = "fine-tune";       // as shown to people
  std::int64_t sequences_per_step = 16;  // of all ranks together
  std::int64_t sequence_length = 256;
  std::int64_t micro_batch = 8;  // sequences of one forward pass on one rank
  double distillation = 1.0;     // weight of KL; the rest is cross-entropy
  bool token_scaled_kl = false;  // loss.hpp
  double hidden_loss = 0;        // weight of the residual streams' distance from the teacher's (loss.hpp); 0: off
  // How much of the attention relations of one block (loss.hpp) is added: the norm of their gradient, as a multiple of
  // that of the rest, before the first step. The weight that this takes then stays. 0: off.
  double relation_loss = 0;
  std::int64_t relation_block = 1;  // from the end: 1 is the last
  double softening = 0;             // share of the steps over which the seen values go from masters to quantized ones
  ScheduleOptions schedule;         // total_steps is the budget
  OptimizerOptions optimizer;
  double gradient_clip = 1.0;
  double qk_clip = 0;    // largest attention logit allowed, by scaling query and key projections; 0: off
  bool bfloat16 = true;  // autocast of the forward and backward passes
  std::uint64_t bucket_bytes = 4 << 20;
  std::int64_t evaluate_every = 0;    // steps; 0: only at the end
  std::int64_t patience = 0;          // evaluations without improvement; 0: never stops early
  std::int64_t checkpoint_every = 0;  // steps; 0: none
  CheckpointOptions checkpoint;
  std::string fingerprint;      // of the job; a checkpoint of another is not taken up
  double lead_s = 120;          // seconds of warning that the batch system gives; said when saving takes longer
  StopControl* stop = nullptr;  // asked after each step; null: never stops
};

struct StepRecord {
  std::int64_t step = 0;                       // 1 for the first
  double loss = 0, kl = 0, cross_entropy = 0;  // nats per position, over all ranks
  double hidden = 0;                           // relative squared error of the residual streams; 0 without hidden_loss
  double relation = 0;                         // divergence of the attention relations; 0 without relation_loss
  double gradient_norm = 0;                    // before clipping
  double learning_rate = 0;                    // AdamW's
  double tokens_per_second = 0;                // of all ranks
  double largest_attention_logit = 0;          // of this step's forward passes; 0 without qk_clip
  double overlapped_buckets = 0;               // share of the reductions started during the backward pass
};

// A step that was not taken because a loss or a gradient was not finite.
struct BadStep {
  std::int64_t step = 0;  // 1 for the first
  double loss = 0, gradient_norm = 0;
  std::vector<int> ranks;  // whose own loss was not finite; empty: only the gradient was not
  std::uint64_t first_sequence = 0, sequences = 0;
  std::string consequence;  // "left out", "back to step 40, learning rates x 0.5", "stopped"
};

struct TrainerCallbacks {
  std::function<void(std::uint64_t index, std::span<std::int64_t> ids)> sample;  // training sequence `index`
  std::function<double()> held_out_loss = {};            // collective; of the student as it is; may be empty
  std::function<void(const StepRecord&)> on_step = {};   // may be empty
  std::function<void(const BadStep&)> on_bad_step = {};  // may be empty
  std::function<void(std::int64_t step, double loss)> on_evaluation = {};  // may be empty
  std::function<void(const CheckpointReport&)> on_checkpoint = {};         // of a published one; may be empty
};

struct TrainingResult {
  std::int64_t steps = 0;         // taken in all attempts
  std::int64_t resumed_from = 0;  // step of the checkpoint taken up
  std::uint64_t tokens = 0;
  double seconds = 0;  // of all attempts, evaluation and checkpoints excluded
  double first_loss = 0, last_loss = 0;
  std::optional<double> best_held_out_loss;
  std::int64_t best_step = 0;
  bool stopped_early = false;
  int rollbacks = 0;              // returns to a checkpoint after steps that were not finite
  std::int64_t checkpoints = 0;   // published in this attempt
  double checkpoint_stall_s = 0;  // how long this rank's steps waited for them
};

// Collective. `teacher` may be null (cross-entropy alone). Leaves the student in its best state, requantized. The final
// state is saved too, so that what follows can be repeated without training.
// A step whose loss or gradient is not finite on any rank is not taken. Three in a row go back to the newest checkpoint
// with half the learning rates, twice at most; then NumericError. Throws StopRequested after saving.
TrainingResult run_training(Communicator& comm, Student& student, const Decoder* teacher, const TrainerOptions& options,
                            const TrainerCallbacks& callbacks);

// Whether this rank's device computes in bfloat16 in hardware.
bool has_bfloat16(const std::string& device);

}  // namespace tercet
