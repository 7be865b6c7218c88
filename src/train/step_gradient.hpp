// The gradient of one training step: this rank's sequences in micro-batches, forward through student and teacher, loss,
// backward into the buckets.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "tercet/text/dataset.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "tercet/train/loss.hpp"
#include "tercet/train/student.hpp"
#include "tercet/train/trainer.hpp"

namespace tercet::train {

// Sums over positions, for one rank or for all.
struct StepSums {
  double kl = 0, cross_entropy = 0, hidden = 0, relation = 0;
  bool finite() const;
};

// What the gradient is of: a share of the rest of the loss, and the weight of the attention relations.
struct LossWeights {
  double rest = 1, relation = 0;
};

class StepGradient {
 public:
  // Keeps references; `teacher` may be null. `mine`: this rank's share of a step's sequences.
  StepGradient(const Student& student, const Decoder* teacher, const TrainerOptions& options,
               const TrainerCallbacks& callbacks, GradientBuckets& buckets, ShardRange mine);

  // Gradients are added up in the buckets, whose reductions start with the last micro-batch. Returns this rank's sums.
  StepSums compute(std::int64_t step, LossWeights weights);

  // What a record says of the sums over all ranks: means, and the loss that they make.
  void fill(StepRecord& record, const StepSums& sums, LossWeights weights) const;
  bool has_relations() const { return teacher_ != nullptr && options_.relation_loss > 0; }

 private:
  struct Passes;
  at::Tensor read_batch(std::int64_t step, std::uint64_t begin, std::uint64_t end) const;
  StepSums micro_batch(const at::Tensor& ids, LossWeights weights) const;
  Passes forward(const at::Tensor& ids) const;
  double kl_share() const;
  double hidden_share() const;
  double positions() const;    // of a step over all ranks
  double predictions() const;  // those of them that have a successor

  const Student& student_;
  const Decoder* teacher_;
  const TrainerOptions& options_;
  const TrainerCallbacks& callbacks_;
  GradientBuckets& buckets_;
  ShardRange mine_;
  at::Device device_;
};

}  // namespace tercet::train
