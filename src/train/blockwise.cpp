#include "tercet/train/blockwise.hpp"
#include "tercet/base/clock.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>

#include "autocast.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/unit_bytes.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "tercet/train/schedule.hpp"

namespace tercet {
namespace {

class BlockTuning {
 public:
  BlockTuning(Communicator& comm, Student& student, const Decoder& original, const BlockwiseOptions& options,
              const BlockwiseCallbacks& callbacks)
      : comm_(comm),
        student_(student),
        original_(original),
        options_(options),
        callbacks_(callbacks),
        device_(student.parameters().front().master.device()),
        steps_per_epoch_(options.samples / options.sequences_per_step) {
    mine_ = shards_of_rank(static_cast<std::uint64_t>(options.sequences_per_step), comm.rank(), comm.size());
  }

  std::vector<BlockReport> run() {
    read_streams();
    std::vector<BlockReport> reports;
    const auto blocks = static_cast<int>(original_.config().layers);
    log::Progress progress("tune blocks", static_cast<std::uint64_t>(blocks), "blocks");
    for (int block = 0; block < blocks; ++block) {
      reports.push_back(tune(block));
      progress.update(static_cast<std::uint64_t>(block + 1), summary_of(reports.back()));
      if (callbacks_.on_block) callbacks_.on_block(reports.back());
    }
    return reports;
  }

 private:
  static std::string summary_of(const BlockReport& report) {
    return "block " + std::to_string(report.block) + ": error " + format_fixed(report.error_before, 4) + " to " +
           format_fixed(report.error_after, 4);
  }

  // What each step of an epoch reads, as one tensor per step: this rank's sequences of it.
  void read_streams() {
    const at::NoGradGuard no_grad;
    const auto length = static_cast<std::size_t>(options_.sequence_length);
    for (std::int64_t step = 0; step < steps_per_epoch_; ++step) {
      const auto count = static_cast<std::int64_t>(mine_.end - mine_.begin);
      at::Tensor ids = at::empty({count, options_.sequence_length}, at::kLong);
      auto* data = ids.mutable_data_ptr<std::int64_t>();
      const auto first = static_cast<std::uint64_t>(step * options_.sequences_per_step);
      for (std::uint64_t i = mine_.begin; i < mine_.end; ++i) {
        callbacks_.sample(first + i, {data + (i - mine_.begin) * length, length});
      }
      ids = ids.to(device_);
      inputs_.push_back(student_.decoder().embed(ids));
      targets_.push_back(original_.embed(ids));
    }
  }

  BlockReport tune(int block) {
    const auto begin = Clock::now();
    std::vector<TrainedParameter> parameters = parameters_of(block);
    BlockReport report;
    report.block = block;
    advance_targets(block);
    report.error_before = report.error_after = error_of(block);
    if (take_up(block, parameters)) {
      report.error_after = error_of(block);
    } else {
      const std::vector<at::Tensor> before = masters_of(parameters);
      report.steps = train(block, parameters);
      report.error_after = error_of(block);
      if (!(report.error_after < report.error_before)) {
        give_back(before, parameters);
        report.error_after = report.error_before;
      }
      keep(block, parameters);
      report.seconds = seconds_since(begin);
    }
    advance(inputs_, student_.decoder(), block);
    return report;
  }

  std::vector<TrainedParameter> parameters_of(int block) {
    std::vector<TrainedParameter> chosen;
    for (std::size_t i = 0; i < student_.parameters().size(); ++i) {
      if (student_.decoder().parameters()[i].layer == block) chosen.push_back(student_.parameters()[i]);
    }
    return chosen;
  }

  static std::vector<at::Tensor> masters_of(const std::vector<TrainedParameter>& parameters) {
    std::vector<at::Tensor> copies;
    for (const TrainedParameter& parameter : parameters) copies.push_back(parameter.master.detach().clone());
    return copies;
  }

  static void give_back(const std::vector<at::Tensor>& masters, std::vector<TrainedParameter>& parameters) {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].master.detach().copy_(masters[i]);
    requantize(parameters);
  }

  // Calls take(first sequence, one past the last) for each micro-batch of a step's sequences on this rank.
  template <typename Take>
  void for_micro_batches(Take take) const {
    const auto count = static_cast<std::int64_t>(mine_.end - mine_.begin);
    for (std::int64_t begin = 0; begin < count; begin += options_.micro_batch) {
      take(begin, std::min(count, begin + options_.micro_batch));
    }
  }

  // In the original's streams, which become those after the block.
  void advance_targets(int block) {
    advance(targets_, original_, block);
    std::array<double, 1> sum{};
    for (const at::Tensor& stream : targets_) sum[0] += stream.square().sum(at::kDouble).item<double>();
    comm_.all_reduce(std::span<double>(sum), Reduce::kSum);
    target_square_ = sum[0];
  }

  void advance(std::vector<at::Tensor>& streams, const Decoder& model, int block) const {
    const at::NoGradGuard no_grad;
    for (at::Tensor& stream : streams) {
      for_micro_batches([&](std::int64_t begin, std::int64_t end) {
        stream.slice(0, begin, end).copy_(model.block(block, stream.slice(0, begin, end)));
      });
    }
  }

  double error_of(int block) {
    const at::NoGradGuard no_grad;
    std::array<double, 1> sum{};
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      for_micro_batches([&](std::int64_t begin, std::int64_t end) {
        const at::Tensor output = student_.decoder().block(block, inputs_[i].slice(0, begin, end));
        sum[0] += (output - targets_[i].slice(0, begin, end)).square().sum(at::kDouble).item<double>();
      });
    }
    comm_.all_reduce(std::span<double>(sum), Reduce::kSum);
    if (!std::isfinite(sum[0])) {
      throw NumericError("the outputs of block " + std::to_string(block) + " are not finite", "",
                         "lower blockwise.learning_rate");
    }
    return std::sqrt(sum[0] / target_square_);
  }

  std::int64_t train(int block, std::vector<TrainedParameter>& parameters) {
    GradientBuckets buckets(comm_, parameters, options_.bucket_bytes);
    const std::unique_ptr<Optimizer> optimizer = make_optimizer(parameters, options_.optimizer, comm_.size());
    ScheduleOptions schedule;
    schedule.total_steps = options_.epochs * steps_per_epoch_;
    for (std::int64_t step = 0; step < schedule.total_steps; ++step) {
      requantize(parameters);
      buckets.zero();
      backward(block, static_cast<std::size_t>(step % steps_per_epoch_), buckets);
      buckets.finish();
      const double norm = clip_gradients(parameters, options_.gradient_clip);
      if (std::isfinite(norm)) optimizer->step(comm_, learning_rate_factor(schedule, step));
      if (options_.stop != nullptr && options_.stop->due()) {
        options_.stop->leave("tune blocks, in block " + std::to_string(block) + ",");
      }
    }
    requantize(parameters);
    for (TrainedParameter& parameter : parameters) parameter.seen.mutable_grad() = at::Tensor();
    return schedule.total_steps;
  }

  // Of the mean square error, in units of the original's mean square.
  void backward(int block, std::size_t step, GradientBuckets& buckets) {
    const double scale = static_cast<double>(steps_per_epoch_) / target_square_;
    for_micro_batches([&](std::int64_t begin, std::int64_t end) {
      if (end == inputs_[step].size(0)) buckets.arm();
      at::Tensor output;
      {
        const train::AutocastScope autocast(device_.type(), options_.bfloat16);
        output = student_.decoder().block(block, inputs_[step].slice(0, begin, end));
      }
      const at::Tensor loss = (output - targets_[step].slice(0, begin, end)).square().sum() * scale;
      torch::autograd::backward({loss}, {});
    });
  }

  static std::string key_of(int block) { return "tune blocks/" + std::to_string(block); }

  // The masters are the same on all ranks, so one of them writes.
  void keep(int block, const std::vector<TrainedParameter>& parameters) {
    if (options_.done == nullptr) return;
    on_root(comm_, [&] {
      ByteWriter bytes;
      for (const TrainedParameter& parameter : parameters) bytes.add(parameter.master.detach());
      options_.done->add(key_of(block), bytes.take());
      return std::string();
    });
  }

  bool take_up(int block, std::vector<TrainedParameter>& parameters) {
    const auto found = options_.done == nullptr ? std::nullopt : options_.done->find(key_of(block));
    if (!found) return false;
    on_every_rank(comm_, [&] {
      ByteReader bytes(*found);
      std::vector<at::Tensor> masters;
      for (const TrainedParameter& p : parameters) masters.push_back(bytes.tensor(p.master.sizes(), at::kFloat));
      bytes.finish();
      give_back(masters, parameters);
    });
    return true;
  }

  Communicator& comm_;
  Student& student_;
  const Decoder& original_;
  const BlockwiseOptions& options_;
  const BlockwiseCallbacks& callbacks_;
  at::Device device_;
  std::int64_t steps_per_epoch_;
  ShardRange mine_;                           // of the sequences of each step
  std::vector<at::Tensor> inputs_, targets_;  // per step of an epoch [sequences, positions, hidden]
  double target_square_ = 0;                  // sum over all samples and ranks
};

}  // namespace

std::vector<BlockReport> tune_blocks(Communicator& comm, Student& student, const Decoder& original,
                                     const BlockwiseOptions& options, const BlockwiseCallbacks& callbacks) {
  if (options.sequences_per_step < comm.size()) {
    throw ConfigError("blockwise.batch is too small for " + std::to_string(comm.size()) + " ranks",
                      "a step has " + std::to_string(options.sequences_per_step) + " sequences",
                      "start fewer ranks, or raise blockwise.batch");
  }
  return BlockTuning(comm, student, original, options, callbacks).run();
}

}  // namespace tercet
