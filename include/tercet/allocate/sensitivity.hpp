// What each format costs each layer of a model, measured with that layer alone quantized.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tercet/calib/calibrate.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/quant/format.hpp"
#include "tercet/solve/solver.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet {

// kl     mean KL(original || model), nats per token, over sequences
// error  square of the relative error of the layer's output, by the statistics (second moment, or else mean square)
enum class Sensitivity { kKl, kError };
Sensitivity sensitivity(const std::string& name);  // "kl", "error"; throws DataError

// A matrix, and what it may be stored as: one format, where that is settled.
struct FreeLayer {
  std::size_t parameter = 0;  // index into Decoder::parameters()
  std::vector<FormatSpec> formats;
};

struct SensitivityOptions {
  Sensitivity measure = Sensitivity::kKl;
  SolverOptions solver;            // for matrices inside the blocks; others are rounded by their rule
  std::uint64_t first_sample = 0;  // of kl
  std::int64_t samples = 16;       // sequences
  std::int64_t sequence_length = 256;
  std::int64_t batch = 8;  // sequences of one forward pass
  WorkLog* done = nullptr;
  StopControl* stop = nullptr;
};

// Collective. The losses of each layer's formats, in their order. A unit of work is a layer: its formats share the pass
// of the original up to that layer's block. The same bits for any number of ranks. `model` is the original with the
// activation bits of the job, and so both sides of the divergence have them. Statistics may be missing for matrices
// that are rounded. Throws NumericError when a figure is not finite.
std::vector<std::vector<double>> measure_sensitivities(
    Communicator& comm, const Decoder& model, const std::vector<LayerStatistics>& statistics,
    const std::vector<FreeLayer>& layers, const SensitivityOptions& options,
    const std::function<void(std::uint64_t index, std::span<std::int64_t> ids)>& sample);

}  // namespace tercet
