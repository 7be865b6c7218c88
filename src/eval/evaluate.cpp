#include "tercet/eval/evaluate.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

// What one batch adds: sums in fp64, counts exact.
struct BatchSums {
  double nll = 0, kl = 0, correct = 0, agreeing = 0;
};

at::Tensor read_windows(const Windows& windows, std::uint64_t begin, std::uint64_t end) {
  at::Tensor ids = at::empty({static_cast<std::int64_t>(end - begin), windows.length}, at::kLong);
  const auto length = static_cast<std::size_t>(windows.length);
  std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
  for (std::uint64_t i = begin; i < end; ++i) windows.read(i, {data + (i - begin) * length, length});
  return ids;
}

BatchSums evaluate_batch(const Decoder& model, const Decoder* reference, const at::Tensor& ids) {
  const at::Tensor next = ids.slice(1, 1);
  const auto log_probabilities = [&](const Decoder& decoder) {
    return at::log_softmax(decoder.forward(ids).slice(1, 0, ids.size(1) - 1).to(at::kFloat), -1);
  };
  const at::Tensor log_q = log_probabilities(model);
  const at::Tensor guess = log_q.argmax(-1);
  BatchSums sums;
  sums.nll = -log_q.gather(-1, next.unsqueeze(-1)).sum(at::kDouble).item<double>();
  sums.correct = guess.eq(next).sum().item<double>();
  if (reference != nullptr) {
    const at::Tensor log_p = log_probabilities(*reference);
    sums.kl = (log_p.exp() * (log_p - log_q)).sum(at::kDouble).item<double>();
    sums.agreeing = guess.eq(log_p.argmax(-1)).sum().item<double>();
  }
  return sums;
}

// The sums of every batch on every rank, added up in the order of the batches.
BatchSums gather(Communicator& comm, const std::vector<BatchSums>& mine) {
  const std::string bytes(reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(BatchSums));
  BatchSums total;
  for (const std::string& part : comm.all_gather(bytes)) {  // ranks hold contiguous runs, so this is batch order
    for (std::size_t offset = 0; offset < part.size(); offset += sizeof(BatchSums)) {
      BatchSums sums;
      std::memcpy(&sums, part.data() + offset, sizeof sums);
      total.nll += sums.nll;
      total.kl += sums.kl;
      total.correct += sums.correct;
      total.agreeing += sums.agreeing;
    }
  }
  return total;
}

}  // namespace

Evaluation evaluate(Communicator& comm, const Decoder& model, const Windows& windows, const EvaluationOptions& options,
                    const Decoder* reference) {
  if (windows.count == 0 || windows.length < 2) {
    throw DataError("there is nothing to evaluate on",
                    "the held-out text has fewer than " + std::to_string(windows.length) + " tokens",
                    "give more text or a shorter evaluation.sequence_length");
  }
  const at::NoGradGuard no_grad;
  const auto begin = std::chrono::steady_clock::now();
  const auto batch = static_cast<std::uint64_t>(options.batch);
  const std::uint64_t batches = (windows.count + batch - 1) / batch;
  const ShardRange mine = shards_of_rank(batches, comm.rank(), comm.size());
  const at::Device device = model.parameters().front().value.device();
  std::vector<BatchSums> sums;
  on_every_rank(comm, [&] {
    std::optional<log::Progress> progress;
    if (options.show_progress) progress.emplace("evaluate", mine.end - mine.begin, "batches");
    for (std::uint64_t index = mine.begin; index < mine.end; ++index) {
      const at::Tensor ids = read_windows(windows, index * batch, std::min(windows.count, (index + 1) * batch));
      sums.push_back(evaluate_batch(model, reference, ids.to(device)));
      if (!std::isfinite(sums.back().nll) || !std::isfinite(sums.back().kl)) {
        throw NumericError("the model's loss is not finite on held-out batch " + std::to_string(index));
      }
      if (progress) progress->update(index - mine.begin + 1);
    }
  });
  const BatchSums total = gather(comm, sums);
  Evaluation result;
  result.tokens = static_cast<std::int64_t>(windows.count) * (windows.length - 1);
  const auto count = static_cast<double>(result.tokens);
  result.nll = total.nll / count;
  result.perplexity = std::exp(result.nll);
  result.top1_accuracy = total.correct / count;
  if (reference != nullptr) {
    result.top1_agreement = total.agreeing / count;
    result.kl = total.kl / count;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace tercet
