#include "step_gradient.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "autocast.hpp"

namespace tercet::train {

bool StepSums::finite() const {
  return std::isfinite(kl) && std::isfinite(cross_entropy) && std::isfinite(hidden);
}

// Logits, and the residual streams where they count.
struct StepGradient::Passes {
  at::Tensor student, teacher;
  std::vector<at::Tensor> student_streams, teacher_streams;
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

StepSums StepGradient::compute(std::int64_t step) {
  StepSums sums;
  for (std::uint64_t begin = mine_.begin; begin < mine_.end;
       begin += static_cast<std::uint64_t>(options_.micro_batch)) {
    const std::uint64_t end = std::min(mine_.end, begin + static_cast<std::uint64_t>(options_.micro_batch));
    if (end == mine_.end) buckets_.arm();
    const StepSums part = micro_batch(read_batch(step, begin, end));
    sums.kl += part.kl;
    sums.cross_entropy += part.cross_entropy;
    sums.hidden += part.hidden;
  }
  return sums;
}

void StepGradient::fill(StepRecord& record, const StepSums& sums) const {
  record.kl = sums.kl / positions();
  record.cross_entropy = sums.cross_entropy / predictions();
  record.hidden = sums.hidden / positions();
  record.loss = kl_share() * record.kl + (1 - kl_share()) * record.cross_entropy + hidden_share() * record.hidden;
}

at::Tensor StepGradient::read_batch(std::int64_t step, std::uint64_t begin, std::uint64_t end) const {
  const auto length = static_cast<std::size_t>(options_.sequence_length);
  at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), options_.sequence_length}, at::kLong);
  std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
  const auto first = static_cast<std::uint64_t>(step * options_.sequences_per_step);
  for (std::uint64_t i = begin; i < end; ++i) callbacks_.sample(first + i, {data + (i - begin) * length, length});
  return ids.to(device_);
}

StepSums StepGradient::micro_batch(const at::Tensor& ids) const {
  const Passes passes = forward(ids);
  const bool scaled = options_.token_scaled_kl && passes.teacher.defined();
  const at::Tensor weights = scaled ? token_scaled_weights(passes.teacher, ids) : at::Tensor();
  const LossResult loss = distillation_loss(passes.student, passes.teacher, ids, kl_share() / positions(),
                                            (1 - kl_share()) / predictions(), weights);
  if (passes.student_streams.empty()) {
    torch::autograd::backward({loss.loss}, {});
    return {loss.kl_sum, loss.cross_entropy_sum, 0};
  }
  const StreamLoss streams = stream_loss(passes.student_streams, passes.teacher_streams, hidden_share() / positions());
  torch::autograd::backward({loss.loss, streams.loss}, {});
  return {loss.kl_sum, loss.cross_entropy_sum, streams.error_sum};
}

StepGradient::Passes StepGradient::forward(const at::Tensor& ids) const {
  const AutocastScope autocast(device_.type(), options_.bfloat16);
  Passes passes;
  const bool streams = hidden_share() > 0;
  if (teacher_ != nullptr && (streams || kl_share() > 0)) {
    const at::NoGradGuard no_grad;
    passes.teacher = streams ? teacher_->forward(ids, passes.teacher_streams) : teacher_->forward(ids);
  }
  const Decoder& student = student_.decoder();
  passes.student = streams ? student.forward(ids, passes.student_streams) : student.forward(ids);
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
