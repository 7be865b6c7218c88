#include "tercet/train/gradient_buckets.hpp"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <utility>

namespace tercet {

struct GradientBuckets::State {
  struct Bucket {
    at::Tensor flat;
    std::size_t gradients = 0;
    std::size_t finished = 0;
    std::unique_ptr<Work> work;
  };
  explicit State(Communicator& communicator) : comm(communicator) {}

  // Reductions start in bucket order on every rank, whatever order gradients finish in.
  void start_ready() {
    while (next < buckets.size() && buckets[next].finished == buckets[next].gradients) start_next();
  }
  void start_next() {
    Bucket& bucket = buckets[next++];
    bucket.work = comm.start_all_reduce(bucket.flat, Reduce::kSum);
  }

  Communicator& comm;
  std::vector<Bucket> buckets;
  std::size_t next = 0;
  std::size_t started_by_hooks = 0;
  bool armed = false;
};

namespace {

class FinishedHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  FinishedHook(std::weak_ptr<GradientBuckets::State> state, std::size_t bucket)
      : state_(std::move(state)), bucket_(bucket) {}
  void operator()(const torch::autograd::Variable&) override {
    const auto state = state_.lock();
    if (!state || !state->armed) return;
    ++state->buckets[bucket_].finished;
    state->start_ready();
    state->started_by_hooks = state->next;
  }

 private:
  std::weak_ptr<GradientBuckets::State> state_;
  std::size_t bucket_;
};

}  // namespace

std::vector<std::vector<TrainedParameter*>> cut_into_buckets(std::vector<TrainedParameter>& parameters,
                                                             std::uint64_t bucket_bytes) {
  std::vector<std::vector<TrainedParameter*>> groups;
  std::uint64_t filled = 0;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    const std::uint64_t bytes = parameter->seen.nbytes();
    if (groups.empty() || (filled > 0 && filled + bytes > bucket_bytes)) {
      groups.emplace_back();
      filled = 0;
    }
    groups.back().push_back(&*parameter);
    filled += bytes;
  }
  return groups;
}

GradientBuckets::GradientBuckets(Communicator& comm, std::vector<TrainedParameter>& parameters,
                                 std::uint64_t bucket_bytes)
    : state_(std::make_shared<State>(comm)) {
  for (const auto& group : cut_into_buckets(parameters, bucket_bytes)) {
    std::int64_t elements = 0;
    for (const TrainedParameter* parameter : group) elements += parameter->seen.numel();
    State::Bucket bucket;
    bucket.gradients = group.size();
    bucket.flat = at::zeros({elements}, group.front()->seen.options().requires_grad(false));
    std::int64_t offset = 0;
    for (TrainedParameter* parameter : group) {
      const std::int64_t count = parameter->seen.numel();
      parameter->seen.mutable_grad() = bucket.flat.slice(0, offset, offset + count).view(parameter->seen.sizes());
      offset += count;
      torch::autograd::impl::set_post_acc_grad_hooks(parameter->seen,
                                                     std::make_unique<FinishedHook>(state_, state_->buckets.size()));
    }
    state_->buckets.push_back(std::move(bucket));
  }
}

GradientBuckets::~GradientBuckets() = default;

void GradientBuckets::zero() {
  for (State::Bucket& bucket : state_->buckets) {
    bucket.flat.zero_();
    bucket.finished = 0;
  }
  state_->next = 0;
  state_->started_by_hooks = 0;
  state_->armed = false;
}

void GradientBuckets::arm() {
  state_->armed = true;
}

void GradientBuckets::finish() {
  while (state_->next < state_->buckets.size()) state_->start_next();
  for (State::Bucket& bucket : state_->buckets) {
    bucket.work->wait();
    bucket.work.reset();
  }
  state_->armed = false;
}

std::size_t GradientBuckets::bucket_count() const {
  return state_->buckets.size();
}
std::size_t GradientBuckets::started_during_backward() const {
  return state_->started_by_hooks;
}

}  // namespace tercet
