// Data-parallel gradients: every gradient is a view of a flat bucket; a bucket's reduction starts as soon as the
// backward pass has finished its last gradient, while the rest of the pass still runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/train/student.hpp"

namespace tercet {

// The parameters of each bucket: at most `bucket_bytes` (a larger gradient has its own), in reverse order of the
// parameters, which is the order in which backward finishes them.
std::vector<std::vector<TrainedParameter*>> cut_into_buckets(std::vector<TrainedParameter>& parameters,
                                                             std::uint64_t bucket_bytes);

class GradientBuckets {
 public:
  GradientBuckets(Communicator& comm, std::vector<TrainedParameter>& parameters, std::uint64_t bucket_bytes);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  void zero();  // before a step; gradients then accumulate over the micro-batches
  void arm();   // before the backward pass of the last micro-batch: its hooks start the reductions
  // Collective. Waits until every gradient is the sum over all ranks; starts reductions that no hook started (a rank
  // without a micro-batch in this step). Throws CommError.
  void finish();

  std::size_t bucket_count() const;
  std::size_t started_during_backward() const;  // of the last step

  struct State;

 private:
  std::shared_ptr<State> state_;  // shared with the hooks that autograd keeps
};

}  // namespace tercet
