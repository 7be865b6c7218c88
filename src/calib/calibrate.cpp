#include "tercet/calib/calibrate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "tercet/base/error.hpp"
#include "tercet/comm/reproducible_sum.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/unit_bytes.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet {
namespace {

using SampleFunction = std::function<void(std::uint64_t, std::span<std::int64_t>)>;

// What one layer's inputs add up to: over the shard under way, and over the shards that this rank holds.
struct LayerInputs {
  std::size_t parameter = 0;
  at::Tensor shard_absmax;  // where the model is: reading it after each batch would stop a GPU
  std::int64_t shard_count = 0;
  at::Tensor shard_squares;   // float64 [d_in]
  at::Tensor shard_products;  // float64 [d_in, d_in] (second pass)

  double absmax = 0;
  std::int64_t count = 0;
  std::vector<at::Tensor> squares;  // of each shard; added up when the bound is known
  std::optional<ReproducibleSum> second_moment;

  void begin_shard() {
    shard_count = 0;
    shard_absmax = shard_squares = shard_products = at::Tensor();
  }
};

// Beyond this, second moments are not kept for a resumed job but computed anew.
constexpr std::uint64_t kLargestMomentLog = std::uint64_t{2} << 30;

void add_into(at::Tensor& sum, const at::Tensor& value) {
  sum = sum.defined() ? sum + value : value;
}

int blocks_to_run(const Decoder& model, const CalibrationOptions& options) {
  return options.block ? *options.block + 1 : static_cast<int>(model.config().layers);
}

struct ObserverRemoval {
  Decoder& model;
  ~ObserverRemoval() { model.set_observer({}); }
};

class CalibrationPass {
 public:
  CalibrationPass(Communicator& comm, Decoder& model, const CalibrationOptions& options, const SampleFunction& sample)
      : comm_(comm), model_(model), options_(options), sample_(sample), device_(model.device()) {
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      const Parameter& parameter = model.parameters()[i];
      const bool wanted = !options.block || parameter.layer == *options.block;
      if (!is_block_linear(parameter.role) || !wanted) continue;  // the head is not calibrated
      layers_.emplace_back().parameter = i;
      place_of_[i] = layers_.size() - 1;
    }
  }

  std::vector<LayerStatistics> run() {
    const at::NoGradGuard no_grad;
    observe_squares();
    agree_on_bounds();
    if (options_.second_moment) observe_products();
    std::vector<LayerStatistics> result;
    for (LayerInputs& layer : layers_) result.push_back(reduce(layer));
    return result;
  }

 private:
  // Collective. One pass over the shards: `observer` looks at each layer's inputs, `outcome` gives what is kept of a
  // shard as bytes, `take` adds it to what this rank holds.
  void pass(const std::string& name, const std::function<void(LayerInputs&, const at::Tensor&)>& observer,
            const std::function<std::string()>& outcome, const std::function<void(std::string_view)>& take,
            WorkLog* log) {
    model_.set_observer([&](std::size_t index, const at::Tensor& input) {
      const auto place = place_of_.find(index);
      if (place != place_of_.end()) observer(layers_[place->second], input);
    });
    const ObserverRemoval removal{model_};  // also when a rank throws: the observer refers to this object
    std::optional<log::Progress> progress;
    UnitWork work;
    work.name = options_.block ? name + "/block-" + std::to_string(*options_.block) : name;
    work.count = static_cast<std::uint64_t>(options_.shards);
    work.compute = [&](std::uint64_t shard) {
      for (LayerInputs& layer : layers_) layer.begin_shard();
      run_shard(shard);
      return outcome();
    };
    work.take = [&](std::uint64_t, std::string_view bytes) { take(bytes); };
    work.progress = [&](std::uint64_t done, std::uint64_t of) {
      if (!progress) progress.emplace(name, of, "shards");
      progress->update(done);
    };
    run_units(comm_, work, log, options_.stop);
  }

  void run_shard(std::uint64_t shard) {
    const auto length = static_cast<std::size_t>(options_.sequence_length);
    const auto batch = static_cast<std::uint64_t>(options_.batch);
    const ShardRange range =
        shard_range(static_cast<std::uint64_t>(options_.samples), static_cast<std::uint64_t>(options_.shards), shard);
    for (std::uint64_t begin = range.begin; begin < range.end; begin += batch) {
      const std::uint64_t end = std::min(range.end, begin + batch);
      at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), options_.sequence_length}, at::kLong);
      std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
      for (std::uint64_t i = begin; i < end; ++i) sample_(i, {data + (i - begin) * length, length});
      model_.run_blocks(ids.to(device_), blocks_to_run(model_, options_));
    }
  }

  void observe_squares() {
    pass(
        "calibrate", add_squares, [this] { return squares_to_bytes(); },
        [this](std::string_view bytes) { take_squares(bytes); }, options_.done);
  }

  static void add_squares(LayerInputs& layer, const at::Tensor& input) {
    const at::Tensor largest = input.abs().max();
    layer.shard_absmax = layer.shard_absmax.defined() ? at::maximum(layer.shard_absmax, largest) : largest;
    layer.shard_count += input.size(0);
    add_into(layer.shard_squares, input.to(at::kDouble).square().sum(0));
  }

  double finite_absmax(const LayerInputs& layer) const {
    const double largest = layer.shard_absmax.item<double>();
    if (std::isfinite(largest)) return largest;
    throw NumericError("an input of '" + model_.parameters()[layer.parameter].name + "' is not finite",
                       "calibration found NaN or Inf in the original model");
  }

  // Per layer: largest magnitude, count, sums of squares.
  std::string squares_to_bytes() const {
    ByteWriter bytes;
    for (const LayerInputs& layer : layers_) {
      bytes.add(finite_absmax(layer));
      bytes.add(layer.shard_count);
      bytes.add(layer.shard_squares);
    }
    return bytes.take();
  }

  void take_squares(std::string_view content) {
    ByteReader bytes(content);
    for (LayerInputs& layer : layers_) {
      layer.absmax = std::max(layer.absmax, bytes.number<double>());
      layer.count += bytes.number<std::int64_t>();
      layer.squares.push_back(bytes.tensor({input_width(layer.parameter)}, at::kDouble));
    }
    bytes.finish();
  }

  // Counts and largest magnitudes are exact whatever the order, so the bound of every sum is the same everywhere.
  void agree_on_bounds() {
    std::vector<double> largest;
    std::vector<std::int64_t> counts;
    for (const LayerInputs& layer : layers_) {
      largest.push_back(layer.absmax);
      counts.push_back(layer.count);
    }
    comm_.all_reduce(std::span<double>(largest), Reduce::kMax);
    comm_.all_reduce(std::span<std::int64_t>(counts), Reduce::kSum);
    std::size_t position = 0;
    for (LayerInputs& layer : layers_) {
      layer.absmax = largest[position];
      layer.count = counts[position++];
    }
  }

  static double bound(const LayerInputs& layer) {
    return static_cast<double>(layer.count) * layer.absmax * layer.absmax;
  }

  void observe_products() {
    std::uint64_t bytes = 0;
    for (LayerInputs& layer : layers_) {
      const std::int64_t inputs = input_width(layer.parameter);
      layer.second_moment.emplace(at::IntArrayRef({inputs, inputs}), bound(layer), device_);
      bytes += static_cast<std::uint64_t>(inputs * inputs) * sizeof(double);
    }
    const bool kept = bytes * static_cast<std::uint64_t>(options_.shards) <= kLargestMomentLog;
    pass(
        "second moments",
        [](LayerInputs& layer, const at::Tensor& input) {
          const at::Tensor x = input.to(at::kFloat);
          add_into(layer.shard_products, at::mm(x.t(), x).to(at::kDouble));
        },
        [this] { return products_to_bytes(); }, [this](std::string_view content) { take_products(content); },
        kept ? options_.done : nullptr);
  }

  std::string products_to_bytes() const {
    ByteWriter bytes;
    for (const LayerInputs& layer : layers_) bytes.add(layer.shard_products);
    return bytes.take();
  }

  void take_products(std::string_view content) {
    ByteReader bytes(content);
    for (LayerInputs& layer : layers_) {
      const std::int64_t inputs = input_width(layer.parameter);
      layer.second_moment->add(bytes.tensor({inputs, inputs}, at::kDouble).to(device_));
    }
    bytes.finish();
  }

  std::int64_t input_width(std::size_t index) const {
    const Parameter& parameter = model_.parameters()[index];
    return parameter.value.size(parameter.input_first ? 0 : 1);
  }

  // Collective: the one reduction of this layer (two with second moments).
  LayerStatistics reduce(LayerInputs& layer) {
    const Parameter& parameter = model_.parameters()[layer.parameter];
    LayerStatistics statistics;
    statistics.parameter = layer.parameter;
    statistics.name = parameter.name;
    statistics.count = layer.count;
    statistics.absmax = layer.absmax;
    ReproducibleSum squares({input_width(layer.parameter)}, bound(layer), device_);
    for (const at::Tensor& partial : layer.squares) squares.add(partial.to(device_));
    squares.all_reduce(comm_);
    statistics.mean_square = (squares.values() / static_cast<double>(layer.count)).to(at::kCPU, at::kFloat);
    if (layer.second_moment) {
      layer.second_moment->all_reduce(comm_);
      statistics.second_moment = layer.second_moment->values().to(at::kCPU);
    }
    measure_weight(values_of(parameter), statistics);
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
  at::Device device_;
  std::vector<LayerInputs> layers_;
  std::map<std::size_t, std::size_t> place_of_;  // parameter to place in layers_
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
  return CalibrationPass(comm, model, options, sample).run();
}

}  // namespace tercet
