#include "step_gradient.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "autocast.hpp"

namespace tercet::train {
namespace {

AttentionHeads heads_of(const ForwardTap& tap) {
  return {tap.query, tap.key, tap.value};
}

}  // namespace

bool StepSums::finite() const {
  return std::isfinite(kl) && std::isfinite(cross_entropy) && std::isfinite(hidden) && std::isfinite(relation);
}

// Logits, and what lies inside the models where it counts.
struct StepGradient::Passes {
  at::Tensor student, teacher;
  ForwardTap inside_student, inside_teacher;
};

StepGradient::StepGradient(const Student& student, const Decoder* teacher, const TrainerOptions& options,
                           const TrainerCallbacks& callbacks, GradientBuckets& buckets, ShardRange mine)
    : student_(student),
      teacher_(teacher),
      options_(options),
      callbacks_(callbacks),
      buckets_(buckets),
      mine_(mine),
      device_(student.parameters().front().master.device()) {}

StepSums StepGradient::compute(std::int64_t step, LossWeights weights) {
  StepSums sums;
  for (std::uint64_t begin = mine_.begin; begin < mine_.end;
       begin += static_cast<std::uint64_t>(options_.micro_batch)) {
    const std::uint64_t end = std::min(mine_.end, begin + static_cast<std::uint64_t>(options_.micro_batch));
    if (end == mine_.end) buckets_.arm();
    const StepSums part = micro_batch(read_batch(step, begin, end), weights);
    sums.kl += part.kl;
    sums.cross_entropy += part.cross_entropy;
    sums.hidden += part.hidden;
    sums.relation += part.relation;
  }
  return sums;
}

void StepGradient::fill(StepRecord& record, const StepSums& sums, LossWeights weights) const {
  record.kl = sums.kl / positions();
  record.cross_entropy = sums.cross_entropy / predictions();
  record.hidden = sums.hidden / positions();
  record.relation = sums.relation / positions();
  record.loss = kl_share() * record.kl + (1 - kl_share()) * record.cross_entropy + hidden_share() * record.hidden +
                weights.relation * record.relation;
}

at::Tensor StepGradient::read_batch(std::int64_t step, std::uint64_t begin, std::uint64_t end) const {
  const auto length = static_cast<std::size_t>(options_.sequence_length);
  at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), options_.sequence_length}, at::kLong);
  std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
  const auto first = static_cast<std::uint64_t>(step * options_.sequences_per_step);
  for (std::uint64_t i = begin; i < end; ++i) callbacks_.sample(first + i, {data + (i - begin) * length, length});
  return ids.to(device_);
}

StepSums StepGradient::micro_batch(const at::Tensor& ids, LossWeights weights) const {
  const Passes passes = forward(ids);
  const bool scaled = options_.token_scaled_kl && passes.teacher.defined();
  const at::Tensor positions_weights = scaled ? token_scaled_weights(passes.teacher, ids) : at::Tensor();
  const LossResult loss =
      distillation_loss(passes.student, passes.teacher, ids, weights.rest * kl_share() / positions(),
                        weights.rest * (1 - kl_share()) / predictions(), positions_weights);
  StepSums sums{loss.kl_sum, loss.cross_entropy_sum, 0, 0};
  std::vector<at::Tensor> losses{loss.loss};
  if (hidden_share() > 0) {
    const StreamLoss streams = stream_loss(passes.inside_student.streams, passes.inside_teacher.streams,
                                           weights.rest * hidden_share() / positions());
    losses.push_back(streams.loss);
    sums.hidden = streams.error_sum;
  }
  if (has_relations()) {
    const RelationLoss relations =
        relation_loss(heads_of(passes.inside_student), heads_of(passes.inside_teacher), weights.relation / positions());
    losses.push_back(relations.loss);
    sums.relation = relations.divergence_sum;
  }
  torch::autograd::backward(losses, {});
  return sums;
}

StepGradient::Passes StepGradient::forward(const at::Tensor& ids) const {
  const AutocastScope autocast(device_.type(), options_.bfloat16);
  Passes passes;
  for (ForwardTap* tap : {&passes.inside_student, &passes.inside_teacher}) {
    tap->wants_streams = hidden_share() > 0;
    if (has_relations()) {
      tap->attention_of = static_cast<int>(student_.decoder().config().layers - options_.relation_block);
    }
  }
  if (teacher_ != nullptr && (kl_share() > 0 || hidden_share() > 0 || has_relations())) {
    const at::NoGradGuard no_grad;
    passes.teacher = teacher_->forward(ids, passes.inside_teacher);
  }
  passes.student = student_.decoder().forward(ids, passes.inside_student);
  if (kl_share() == 0) passes.teacher = at::Tensor();
  return passes;
}

double StepGradient::kl_share() const {
  return teacher_ == nullptr ? 0.0 : options_.distillation;
}

double StepGradient::hidden_share() const {
  return teacher_ == nullptr ? 0.0 : options_.hidden_loss;
}

double StepGradient::positions() const {
  return static_cast<double>(options_.sequences_per_step * options_.sequence_length);
}

double StepGradient::predictions() const {
  return static_cast<double>(options_.sequences_per_step * (options_.sequence_length - 1));
}

}  // namespace tercet::train
