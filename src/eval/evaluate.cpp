#include "tercet/eval/evaluate.hpp"
#include "tercet/base/clock.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include <cmath>
#include <cstring>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/work_log.hpp"

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

std::string to_bytes(const BatchSums& sums) {
  return {reinterpret_cast<const char*>(&sums), sizeof sums};
}

BatchSums from_bytes(std::string_view bytes) {
  BatchSums sums;
  if (bytes.size() != sizeof sums) throw StoreError("the sums of an evaluated batch have the wrong size");
  std::memcpy(&sums, bytes.data(), sizeof sums);
  return sums;
}

// In the order of the batches, whoever evaluated them.
BatchSums total_of(const std::vector<std::string>& batches) {
  BatchSums total;
  for (const std::string& bytes : batches) {
    const BatchSums sums = from_bytes(bytes);
    total.nll += sums.nll;
    total.kl += sums.kl;
    total.correct += sums.correct;
    total.agreeing += sums.agreeing;
  }
  return total;
}

BatchSums finite(const BatchSums& sums, std::uint64_t batch) {
  if (std::isfinite(sums.nll) && std::isfinite(sums.kl)) return sums;
  throw NumericError("the model's loss is not finite on held-out batch " + std::to_string(batch));
}

}  // namespace

Evaluation evaluate(Communicator& comm, const Decoder& model, const Windows& windows, const EvaluationOptions& options,
                    const Decoder* reference) {
  if (windows.count == 0 || windows.length < 2) {
    throw DataError("there is nothing to evaluate on",
                    "the held-out text has fewer than " + std::to_string(windows.length) + " tokens",
                    "give more text or shorter sequences");
  }
  const at::NoGradGuard no_grad;
  const auto begin = Clock::now();
  const auto batch = static_cast<std::uint64_t>(options.batch);
  const std::uint64_t batches = batch_count(windows.count, batch);
  const at::Device device = model.device();
  std::optional<log::Progress> progress;
  UnitWork work;
  work.name = options.name;
  work.count = batches;
  work.compute = [&](std::uint64_t index) {
    const at::Tensor ids = read_windows(windows, index * batch, std::min(windows.count, (index + 1) * batch));
    return to_bytes(finite(evaluate_batch(model, reference, ids.to(device)), index));
  };
  work.progress = [&](std::uint64_t done, std::uint64_t of) {
    if (!options.show_progress) return;
    if (!progress) progress.emplace("evaluate", of, "batches");
    progress->update(done);
  };
  const BatchSums total = total_of(run_units_for_all(comm, work, options.done, options.stop));
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
  result.seconds = seconds_since(begin);
  return result;
}

}  // namespace tercet
