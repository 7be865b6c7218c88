// Statistics of the inputs and weights of every linear layer, the same to the bit for any number of ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet {

struct LayerStatistics {
  std::size_t parameter = 0;  // index into Decoder::parameters()
  std::string name;
  std::int64_t count = 0;    // input tokens
  double absmax = 0;         // of the inputs
  at::Tensor mean_square;    // float32 [d_in], host: mean of x_j^2
  at::Tensor second_moment;  // float64 [d_in, d_in], host: sum of x x'; only when asked for
  double weight_absmean = 0, weight_absmax = 0;
  double weight_kurtosis = 0;  // E[(w - mean)^4] / variance^2; 3 for a normal distribution
};

struct CalibrationOptions {
  std::int64_t samples = 500;  // sequences
  std::int64_t sequence_length = 256;
  std::int64_t shards = 64;  // logical shards: the unit whose sums are rounded and added
  std::int64_t batch = 8;    // sequences of one forward pass within a shard
  bool second_moment = false;
  std::optional<int> block;     // only the layers of this block; the model is run no further
  WorkLog* done = nullptr;      // shards found there are not run again
  StopControl* stop = nullptr;  // asked after each shard; its stop is thrown as StopRequested
};

// Collective. Runs the model over `samples` sequences, each shard on one rank in batches that depend on the shard
// alone, and reduces once per layer. Sums of shards are exact: fp64 partial sums rounded to a common power of two and
// added as integers (comm/reproducible_sum.hpp), so the order and the number of ranks cannot show. Throws ConfigError
// when there are fewer shards than ranks, NumericError when an input is not finite.
std::vector<LayerStatistics> calibrate(
    Communicator& comm, Decoder& model, const CalibrationOptions& options,
    const std::function<void(std::uint64_t index, std::span<std::int64_t> ids)>& sample);

}  // namespace tercet
