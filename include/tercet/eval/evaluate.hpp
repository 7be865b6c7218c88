// Held-out quality of a model: perplexity, next-token accuracy, and agreement with and divergence from another model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/store/work_log.hpp"
#include "tercet/text/dataset.hpp"

namespace tercet {

// Non-overlapping windows of `length` ids; loss is taken on positions 2..length of each, without BOS.
struct Windows {
  std::uint64_t count = 0;
  std::int64_t length = 0;
  std::function<void(std::uint64_t index, std::span<std::int64_t> ids)> read;

  Windows first(std::uint64_t at_most) const;  // 0: all
};
// Batches of `batch` windows, which ranks share out in contiguous runs.
std::uint64_t batch_count(std::uint64_t windows, std::uint64_t batch);
Windows windows_of(std::vector<std::int32_t> ids, std::int64_t length);
Windows held_out_windows(const Dataset& dataset, std::int64_t length);

struct Evaluation {
  std::int64_t tokens = 0;  // predicted
  double nll = 0;           // mean, nats per token
  double perplexity = 0;    // exp(nll)
  double top1_accuracy = 0;
  std::optional<double> top1_agreement;  // share of positions with the reference's most likely token
  std::optional<double> kl;              // mean KL(reference || model), nats per token
  double seconds = 0;
};

struct EvaluationOptions {
  std::int64_t batch = 8;  // windows of one forward pass
  bool show_progress = true;
  std::string name = "evaluate";  // what model is measured: batches found in `done` under this name are not repeated
  WorkLog* done = nullptr;
  StopControl* stop = nullptr;  // asked after each batch; its stop is thrown as StopRequested
};

// Collective. Batches of windows are dealt out to the ranks; the figures are sums over batches in a fixed order, in
// fp64, so they are the same to the bit for any number of ranks. Throws DataError when there are no windows, and
// NumericError when a logit is not finite.
Evaluation evaluate(Communicator& comm, const Decoder& model, const Windows& windows, const EvaluationOptions& options,
                    const Decoder* reference = nullptr);

struct GradientFlow {
  bool passed = false;
  std::int64_t tensors = 0;
  std::vector<std::string> problems;  // "name: no gradient" | "not finite" | "all zero"
  double smallest_norm = 0, largest_norm = 0;
};
// One backward pass of the next-token loss on a real batch: every parameter must get a finite, non-zero gradient.
// Of a model whose weights are streamed, block by block: one has its weights and gradients in memory at a time, and the
// streams between the blocks are kept.
GradientFlow check_gradient_flow(const Decoder& model, const Windows& windows, std::int64_t batch);

}  // namespace tercet
