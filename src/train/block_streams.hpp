// The residual streams of block-wise tuning: what reaches a block in the student, and what leaves a later one in the
// original, for this rank's share of the tuning sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/blockwise.hpp"

namespace tercet::train {

// Blocks first .. last, tuned together.
struct BlockWindow {
  int first = 0, last = 0;
};

class BlockStreams {
 public:
  // Both streams stand before block 0.
  BlockStreams(Communicator& comm, const Decoder& student, const Decoder& original, const BlockwiseOptions& options,
               const BlockwiseCallbacks& callbacks);

  std::int64_t steps_per_epoch() const { return static_cast<std::int64_t>(inputs_.size()); }
  void advance_inputs(int block);              // by that block of the student
  void advance_targets(const BlockWindow& w);  // collective: by the original's blocks until they stand after w.last

  // What a step trains on, and the original's mean square by which its loss is measured.
  const at::Tensor& inputs(std::int64_t step) const { return inputs_[static_cast<std::size_t>(step)]; }
  const at::Tensor& targets(std::int64_t step) const { return targets_[static_cast<std::size_t>(step)]; }
  double target_square() const { return target_square_; }

  at::Tensor outputs(const BlockWindow& window, at::Tensor stream) const;  // of the student
  // Collective. ||student - original||_F / ||original||_F after the window; throws NumericError.
  double error_of(const BlockWindow& window) const;

  // Calls take(first sequence, one past the last) for each micro-batch of a step's sequences on this rank.
  template <typename Take>
  void for_micro_batches(Take take) const {
    const std::int64_t count = inputs_.front().size(0);
    for (std::int64_t begin = 0; begin < count; begin += micro_batch_) {
      take(begin, std::min(count, begin + micro_batch_));
    }
  }

 private:
  void advance(std::vector<at::Tensor>& streams, const Decoder& model, int block) const;

  Communicator& comm_;
  const Decoder& student_;
  const Decoder& original_;
  std::int64_t micro_batch_;
  std::vector<at::Tensor> inputs_, targets_;  // per step of an epoch [sequences, positions, hidden]
  int targets_after_ = -1;                    // block; -1: before the first
  double target_square_ = 0;                  // sum over all samples and ranks
};

}  // namespace tercet::train
