#include "block_streams.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>
#include <span>
#include <string>

#include "tercet/base/error.hpp"

namespace tercet::train {

BlockStreams::BlockStreams(Communicator& comm, const Decoder& student, const Decoder& original,
                           const BlockwiseOptions& options, const BlockwiseCallbacks& callbacks)
    : comm_(comm), student_(student), original_(original), micro_batch_(options.micro_batch) {
  const at::NoGradGuard no_grad;
  const auto length = static_cast<std::size_t>(options.sequence_length);
  const ShardRange mine =
      shards_of_rank(static_cast<std::uint64_t>(options.sequences_per_step), comm.rank(), comm.size());
  for (std::int64_t first = 0; first < options.samples; first += options.sequences_per_step) {
    at::Tensor ids = at::empty({static_cast<std::int64_t>(mine.end - mine.begin), options.sequence_length}, at::kLong);
    auto* data = ids.mutable_data_ptr<std::int64_t>();
    for (std::uint64_t i = mine.begin; i < mine.end; ++i) {
      callbacks.sample(static_cast<std::uint64_t>(first) + i, {data + (i - mine.begin) * length, length});
    }
    ids = ids.to(student.device());
    inputs_.push_back(student.embed(ids));
    targets_.push_back(original.embed(ids));
  }
}

void BlockStreams::advance_inputs(int block) {
  advance(inputs_, student_, block);
}

void BlockStreams::advance_targets(const BlockWindow& window) {
  while (targets_after_ < window.last) advance(targets_, original_, ++targets_after_);
  std::array<double, 1> sum{};
  for (const at::Tensor& stream : targets_) sum[0] += stream.square().sum(at::kDouble).item<double>();
  comm_.all_reduce(std::span<double>(sum), Reduce::kSum);
  target_square_ = sum[0];
}

void BlockStreams::advance(std::vector<at::Tensor>& streams, const Decoder& model, int block) const {
  const at::NoGradGuard no_grad;
  const BlockHold held = model.hold_block(block);
  for (at::Tensor& stream : streams) {
    for_micro_batches([&](std::int64_t begin, std::int64_t end) {
      stream.slice(0, begin, end).copy_(model.block(block, stream.slice(0, begin, end)));
    });
  }
}

at::Tensor BlockStreams::outputs(const BlockWindow& window, at::Tensor stream) const {
  for (int block = window.first; block <= window.last; ++block) stream = student_.block(block, stream);
  return stream;
}

double BlockStreams::error_of(const BlockWindow& window) const {
  const at::NoGradGuard no_grad;
  std::array<double, 1> sum{};
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    for_micro_batches([&](std::int64_t begin, std::int64_t end) {
      const at::Tensor output = outputs(window, inputs_[i].slice(0, begin, end));
      sum[0] += (output - targets_[i].slice(0, begin, end)).square().sum(at::kDouble).item<double>();
    });
  }
  comm_.all_reduce(std::span<double>(sum), Reduce::kSum);
  if (!std::isfinite(sum[0])) {
    throw NumericError("the outputs of block " + std::to_string(window.last) + " are not finite", "",
                       "lower blockwise.learning_rate");
  }
  return std::sqrt(sum[0] / target_square_);
}

}  // namespace tercet::train
