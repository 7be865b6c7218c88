#include "tercet/calib/calibrate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "tercet/base/error.hpp"
#include "tercet/comm/reproducible_sum.hpp"
#include "tercet/log/log.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet {
namespace {

using SampleFunction = std::function<void(std::uint64_t, std::span<std::int64_t>)>;

// What one layer's inputs add up to on this rank. Sums of squares are kept per shard until the bound is known.
struct LayerInputs {
  double absmax = 0;
  std::int64_t count = 0;
  std::vector<at::Tensor> shard_squares;  // float64 [d_in], one per shard done
  at::Tensor squares;                     // of the shard under way
  at::Tensor products;                    // float64 [d_in, d_in] of the shard under way (second pass)
  std::optional<ReproducibleSum> second_moment;
};

int blocks_to_run(const Decoder& model, const CalibrationOptions& options) {
  return options.block ? *options.block + 1 : static_cast<int>(model.config().layers);
}

// Runs the shards of this rank, calling `end_of_shard` after each.
void run_shards(Communicator& comm, const Decoder& model, const CalibrationOptions& options,
                const SampleFunction& sample, const std::string& title, const std::function<void()>& end_of_shard) {
  const at::Device device = model.parameters().front().value.device();
  const ShardRange mine = shards_of_rank(static_cast<std::uint64_t>(options.shards), comm.rank(), comm.size());
  const auto length = static_cast<std::size_t>(options.sequence_length);
  log::Progress progress(title, mine.end - mine.begin, "shards");
  for (std::uint64_t shard = mine.begin; shard < mine.end; ++shard) {
    const ShardRange range =
        shard_range(static_cast<std::uint64_t>(options.samples), static_cast<std::uint64_t>(options.shards), shard);
    for (std::uint64_t begin = range.begin; begin < range.end; begin += static_cast<std::uint64_t>(options.batch)) {
      const std::uint64_t end = std::min(range.end, begin + static_cast<std::uint64_t>(options.batch));
      at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), options.sequence_length}, at::kLong);
      std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
      for (std::uint64_t i = begin; i < end; ++i) sample(i, {data + (i - begin) * length, length});
      model.run_blocks(ids.to(device), blocks_to_run(model, options));
    }
    end_of_shard();
    progress.update(shard - mine.begin + 1);
  }
}

struct ObserverRemoval {
  Decoder& model;
  ~ObserverRemoval() { model.set_observer({}); }
};

class Calibration {
 public:
  Calibration(Communicator& comm, Decoder& model, const CalibrationOptions& options, const SampleFunction& sample)
      : comm_(comm), model_(model), options_(options), sample_(sample) {
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      const Parameter& parameter = model.parameters()[i];
      if (is_block_linear(parameter.role) && (!options.block || parameter.layer == *options.block)) layers_[i];
    }
  }

  std::vector<LayerStatistics> run() {
    const at::NoGradGuard no_grad;
    observe_squares();
    agree_on_bounds();
    if (options_.second_moment) observe_products();
    std::vector<LayerStatistics> result;
    for (auto& [index, layer] : layers_) result.push_back(reduce(index, layer));
    return result;
  }

 private:
  void observe(const std::string& title, const LinearObserver& observer, const std::function<void()>& end_of_shard) {
    model_.set_observer([&](std::size_t index, const at::Tensor& input) {
      if (layers_.contains(index)) observer(index, input);
    });
    const ObserverRemoval removal{model_};  // also when a rank throws: the observer refers to this object
    on_every_rank(comm_, [&] { run_shards(comm_, model_, options_, sample_, title, end_of_shard); });
  }

  void observe_squares() {
    observe(
        "calibrate",
        [this](std::size_t index, const at::Tensor& input) {
          LayerInputs& layer = layers_.at(index);
          const double largest = input.abs().max().item<double>();
          if (!std::isfinite(largest)) {
            throw NumericError("an input of '" + model_.parameters()[index].name + "' is not finite",
                               "calibration found NaN or Inf in the original model");
          }
          layer.absmax = std::max(layer.absmax, largest);
          layer.count += input.size(0);
          const at::Tensor squares = input.to(at::kDouble).square().sum(0);
          layer.squares = layer.squares.defined() ? layer.squares + squares : squares;
        },
        [this] {
          for (auto& [index, layer] : layers_) {
            if (layer.squares.defined()) layer.shard_squares.push_back(layer.squares);
            layer.squares = at::Tensor();
          }
        });
  }

  // Counts and largest magnitudes are exact whatever the order, so the bound of every sum is the same everywhere.
  void agree_on_bounds() {
    std::vector<double> largest;
    std::vector<std::int64_t> counts;
    for (const auto& [index, layer] : layers_) {
      largest.push_back(layer.absmax);
      counts.push_back(layer.count);
    }
    comm_.all_reduce(std::span<double>(largest), Reduce::kMax);
    comm_.all_reduce(std::span<std::int64_t>(counts), Reduce::kSum);
    std::size_t position = 0;
    for (auto& [index, layer] : layers_) {
      layer.absmax = largest[position];
      layer.count = counts[position++];
    }
  }

  static double bound(const LayerInputs& layer) {
    return static_cast<double>(layer.count) * layer.absmax * layer.absmax;
  }

  void observe_products() {
    for (auto& [index, layer] : layers_) {
      const std::int64_t inputs = input_width(index);
      layer.second_moment.emplace(at::IntArrayRef({inputs, inputs}), bound(layer),
                                  model_.parameters()[index].value.device());
    }
    observe(
        "second moments",
        [this](std::size_t index, const at::Tensor& input) {
          const at::Tensor x = input.to(at::kFloat);
          const at::Tensor products = at::mm(x.t(), x).to(at::kDouble);
          LayerInputs& layer = layers_.at(index);
          layer.products = layer.products.defined() ? layer.products + products : products;
        },
        [this] {
          for (auto& [index, layer] : layers_) {
            if (layer.products.defined()) layer.second_moment->add(layer.products);
            layer.products = at::Tensor();
          }
        });
  }

  std::int64_t input_width(std::size_t index) const {
    const Parameter& parameter = model_.parameters()[index];
    return parameter.value.size(parameter.input_first ? 0 : 1);
  }

  // Collective: the one reduction of this layer (two with second moments).
  LayerStatistics reduce(std::size_t index, LayerInputs& layer) {
    const Parameter& parameter = model_.parameters()[index];
    LayerStatistics statistics;
    statistics.parameter = index;
    statistics.name = parameter.name;
    statistics.count = layer.count;
    statistics.absmax = layer.absmax;
    ReproducibleSum squares({input_width(index)}, bound(layer), parameter.value.device());
    for (const at::Tensor& partial : layer.shard_squares) squares.add(partial);
    squares.all_reduce(comm_);
    statistics.mean_square = (squares.values() / static_cast<double>(layer.count)).to(at::kCPU, at::kFloat);
    if (layer.second_moment) {
      layer.second_moment->all_reduce(comm_);
      statistics.second_moment = layer.second_moment->values().to(at::kCPU);
    }
    measure_weight(parameter.value, statistics);
    return statistics;
  }

  static void measure_weight(const at::Tensor& value, LayerStatistics& statistics) {
    const at::Tensor weight = value.to(at::kCPU, at::kDouble);
    const at::Tensor centred = weight - weight.mean();
    const double variance = centred.square().mean().item<double>();
    statistics.weight_absmean = weight.abs().mean().item<double>();
    statistics.weight_absmax = weight.abs().max().item<double>();
    statistics.weight_kurtosis = variance > 0 ? centred.pow(4).mean().item<double>() / (variance * variance) : 0;
  }

  Communicator& comm_;
  Decoder& model_;
  const CalibrationOptions& options_;
  const SampleFunction& sample_;
  std::map<std::size_t, LayerInputs> layers_;
};

}  // namespace

std::vector<LayerStatistics> calibrate(Communicator& comm, Decoder& model, const CalibrationOptions& options,
                                       const SampleFunction& sample) {
  if (options.shards < comm.size() || options.samples < options.shards) {
    throw ConfigError("calibration cannot be shared out",
                      std::to_string(options.samples) + " samples in " + std::to_string(options.shards) +
                          " shards on " + std::to_string(comm.size()) + " ranks",
                      "every rank needs a shard and every shard a sample: raise calibration.shards or "
                      "calibration.samples, or start fewer ranks");
  }
  return Calibration(comm, model, options, sample).run();
}

}  // namespace tercet
