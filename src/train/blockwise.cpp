#include "tercet/train/blockwise.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "autocast.hpp"
#include "block_streams.hpp"
#include "tercet/base/clock.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/quant/number_format.hpp"
#include "tercet/store/unit_bytes.hpp"
#include "tercet/train/gradient_buckets.hpp"
#include "tercet/train/scale_polish.hpp"
#include "tercet/train/schedule.hpp"

namespace tercet {
namespace {

using train::BlockStreams;
using train::BlockWindow;

// Matrices that are trained together; whatever else a block has is trained along with each part.
using BlockPart = bool (*)(Role);

bool any_matrix(Role) {
  return true;
}
bool makes_scores(Role role) {
  return role == Role::kQuery || role == Role::kKey || role == Role::kFusedQkv;
}
bool carries_values(Role role) {
  return role == Role::kValue || role == Role::kAttentionOutput;
}
bool is_mlp(Role role) {
  return role == Role::kGate || role == Role::kUp || role == Role::kDown;
}

// What the masters of the parameters are, and how they are quantized: enough to come back to it.
struct KeptParameter {
  at::Tensor master;
  Calibration calibration;
};

std::vector<KeptParameter> copies_of(const std::vector<TrainedParameter>& parameters) {
  std::vector<KeptParameter> kept;
  for (const TrainedParameter& p : parameters) kept.push_back({p.master.detach().clone(), p.calibration});
  return kept;
}

void give_back(const std::vector<KeptParameter>& kept, std::vector<TrainedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].master.detach().copy_(kept[i].master);
    parameters[i].calibration = kept[i].calibration;
  }
  requantize(parameters);
}

// As bytes of the work log: the master, and the scales and zero points that are fixed.
void add(const TrainedParameter& parameter, ByteWriter& bytes) {
  bytes.add(parameter.master.detach());
  bytes.add(static_cast<std::uint8_t>(parameter.calibration.scales.defined()));
  bytes.add(static_cast<std::uint8_t>(parameter.calibration.zero_points.defined()));
  if (parameter.calibration.scales.defined()) bytes.add(parameter.calibration.scales);
  if (parameter.calibration.zero_points.defined()) bytes.add(parameter.calibration.zero_points);
}

KeptParameter read_kept(const TrainedParameter& parameter, ByteReader& bytes) {
  KeptParameter kept{bytes.tensor(parameter.master.sizes(), at::kFloat), parameter.calibration};
  const bool scales = bytes.number<std::uint8_t>() != 0, zero_points = bytes.number<std::uint8_t>() != 0;
  if (!scales) return kept;
  const auto rows = parameter.master.size(parameter.input_first ? 1 : 0);
  const auto shape = scale_shape(rows, parameter.master.numel() / rows, *parameter.spec);
  kept.calibration = {};
  kept.calibration.scales = bytes.tensor(shape, at::kFloat).to(parameter.master.device());
  if (zero_points) kept.calibration.zero_points = bytes.tensor(shape, at::kChar).to(parameter.master.device());
  return kept;
}

bool has_levels(const TrainedParameter& p) {
  return p.spec && is_block_linear(p.role) && p.spec->format->is_grid();
}

// With d the distance of a grid's levels, that of two bits (or trits) being 1, for weights of equal range: d^1.5. A
// master has d to go for from one level to the next; that the steps must shrink faster was found by measuring
// (docs/benchmarks/quality.md).
double step_share_of(const FormatSpec& spec) {
  constexpr double kStepsOfTwoBits = 3;
  const LevelRange range = spec.format->levels(spec.symmetric);
  return std::pow(std::min(1.0, kStepsOfTwoBits / (range.highest - range.lowest)), 1.5);
}

// Whatever else is tuned (norms, biases) makes good what the coarsest grid does, and takes its steps.
void set_step_shares(std::vector<TrainedParameter>& parameters) {
  double coarsest = 0;
  for (const TrainedParameter& p : parameters) {
    if (has_levels(p)) coarsest = std::max(coarsest, step_share_of(*p.spec));
  }
  for (TrainedParameter& p : parameters)
    p.step_share = has_levels(p) ? step_share_of(*p.spec) : coarsest > 0 ? coarsest : 1;
}

class BlockTuning {
 public:
  BlockTuning(Communicator& comm, Student& student, const Decoder& original, const BlockwiseOptions& options,
              const BlockwiseCallbacks& callbacks)
      : comm_(comm),
        student_(student),
        options_(options),
        callbacks_(callbacks),
        streams_(comm, student.decoder(), original, options, callbacks) {}

  std::vector<BlockReport> run() {
    std::vector<BlockReport> reports;
    const auto blocks = static_cast<int>(student_.decoder().config().layers);
    log::Progress progress("tune blocks", static_cast<std::uint64_t>(blocks), "blocks");
    for (int block = 0; block < blocks; ++block) {
      const auto last = std::min<std::int64_t>(blocks, block + options_.window) - 1;
      reports.push_back(tune({block, static_cast<int>(last)}));
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

  BlockReport tune(const BlockWindow& window) {
    const auto begin = Clock::now();
    for (int block = window.first; block <= window.last; ++block) student_.load_block(block);
    std::vector<std::size_t> places;
    std::vector<TrainedParameter> parameters = parameters_of(window, places);
    BlockReport report;
    report.block = window.first;
    streams_.advance_targets(window);
    report.error_before = report.error_after = streams_.error_of(window);
    if (take_up(window, parameters)) {
      report.error_after = streams_.error_of(window);
    } else {
      const std::vector<KeptParameter> before = copies_of(parameters);
      report.steps = train(window, parameters);
      report.error_after = streams_.error_of(window);
      if (!(report.error_after < report.error_before)) {
        give_back(before, parameters);
        report.error_after = report.error_before;
      }
      keep(window, parameters);
      report.seconds = seconds_since(begin);
    }
    for (std::size_t i = 0; i < places.size(); ++i) student_.parameters()[places[i]] = parameters[i];
    streams_.advance_inputs(window.first);
    if (student_.streams()) {
      student_.put_away_block(comm_, window.first,
                              options_.folder / ("tuned-" + std::to_string(window.first) + ".safetensors"));
    }
    return report;
  }

  std::vector<TrainedParameter> parameters_of(const BlockWindow& window, std::vector<std::size_t>& places) const {
    std::vector<TrainedParameter> chosen;
    for (std::size_t i = 0; i < student_.parameters().size(); ++i) {
      const int block = student_.decoder().parameters()[i].layer;
      if (block < window.first || block > window.last) continue;
      chosen.push_back(student_.parameters()[i]);
      places.push_back(i);
    }
    return chosen;
  }

  std::int64_t train(const BlockWindow& window, std::vector<TrainedParameter>& parameters) {
    std::vector<BlockPart> parts{any_matrix};
    if (options_.by_parts) parts = {makes_scores, carries_values, is_mlp};
    set_step_shares(parameters);
    std::int64_t steps = 0;
    for (const BlockPart part : parts) {
      for (TrainedParameter& p : parameters) p.trained = !is_block_linear(p.role) || part(p.role);
      steps += descend(window, parameters, options_.epochs, options_.optimizer);
    }
    for (TrainedParameter& parameter : parameters) {
      parameter.trained = true;
      parameter.step_share = 1;
    }
    if (options_.scale_epochs > 0) steps += train_scales(window, parameters);
    return steps;
  }

  std::int64_t train_scales(const BlockWindow& window, std::vector<TrainedParameter>& parameters) {
    freeze_levels(parameters);
    std::int64_t steps = 0;
    if (std::any_of(parameters.begin(), parameters.end(), [](const TrainedParameter& p) { return p.trained; })) {
      OptimizerOptions optimizer = options_.optimizer;
      optimizer.learning_rate = options_.scale_learning_rate;
      steps = descend(window, parameters, options_.scale_epochs, optimizer);
    }
    thaw_levels(parameters);
    return steps;
  }

  // Trains those that are marked for it.
  std::int64_t descend(const BlockWindow& window, std::vector<TrainedParameter>& parameters, std::int64_t epochs,
                       const OptimizerOptions& optimizer_options) {
    GradientBuckets buckets(comm_, parameters, options_.bucket_bytes);
    const std::unique_ptr<Optimizer> optimizer = make_optimizer(parameters, optimizer_options, comm_.size());
    ScheduleOptions schedule;
    schedule.total_steps = epochs * streams_.steps_per_epoch();
    const double soft_steps = options_.softening * static_cast<double>(schedule.total_steps);
    for (std::int64_t step = 0; step < schedule.total_steps; ++step) {
      const auto done = static_cast<double>(step);
      requantize(parameters, done < soft_steps ? done / soft_steps : 1.0);
      buckets.zero();
      backward(window, step % streams_.steps_per_epoch(), buckets);
      buckets.finish();
      derive_gradients(parameters);
      const double norm = clip_gradients(parameters, options_.gradient_clip);
      if (std::isfinite(norm)) optimizer->step(comm_, learning_rate_factor(schedule, step));
      if (options_.stop != nullptr && options_.stop->due()) {
        options_.stop->leave("tune blocks, in block " + std::to_string(window.first) + ",");
      }
    }
    requantize(parameters);
    for (TrainedParameter& parameter : parameters) parameter.seen.mutable_grad() = at::Tensor();
    return schedule.total_steps;
  }

  // Of the mean square error, in units of the original's mean square.
  void backward(const BlockWindow& window, std::int64_t step, GradientBuckets& buckets) {
    const double scale = static_cast<double>(streams_.steps_per_epoch()) / streams_.target_square();
    const at::Tensor &inputs = streams_.inputs(step), &targets = streams_.targets(step);
    streams_.for_micro_batches([&](std::int64_t begin, std::int64_t end) {
      if (end == inputs.size(0)) buckets.arm();
      at::Tensor output;
      {
        const train::AutocastScope autocast(inputs.device().type(), options_.bfloat16);
        output = streams_.outputs(window, inputs.slice(0, begin, end));
      }
      const at::Tensor loss = (output - targets.slice(0, begin, end)).square().sum() * scale;
      torch::autograd::backward({loss}, {});
    });
  }

  static std::string key_of(const BlockWindow& window) { return "tuned block/" + std::to_string(window.first); }

  // The masters are the same on all ranks, so one of them writes.
  void keep(const BlockWindow& window, const std::vector<TrainedParameter>& parameters) {
    if (options_.done == nullptr) return;
    on_root(comm_, [&] {
      ByteWriter bytes;
      for (const TrainedParameter& parameter : parameters) add(parameter, bytes);
      options_.done->add(key_of(window), bytes.take());
      return std::string();
    });
  }

  bool take_up(const BlockWindow& window, std::vector<TrainedParameter>& parameters) {
    const auto found = options_.done == nullptr ? std::nullopt : options_.done->find(key_of(window));
    if (!found) return false;
    on_every_rank(comm_, [&] {
      ByteReader bytes(*found);
      std::vector<KeptParameter> kept;
      for (const TrainedParameter& parameter : parameters) kept.push_back(read_kept(parameter, bytes));
      bytes.finish();
      give_back(kept, parameters);
    });
    return true;
  }

  Communicator& comm_;
  Student& student_;
  const BlockwiseOptions& options_;
  const BlockwiseCallbacks& callbacks_;
  BlockStreams streams_;
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
