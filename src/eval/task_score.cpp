#include "tercet/eval/task_score.hpp"
#include "tercet/base/clock.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "eval/task_requests.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet {
using eval::Request;
using eval::Row;
namespace {

std::vector<Request> encode_task(const Task& task, const TaskTokens& tokens, std::int64_t positions) {
  eval::RequestEncoder encoder(tokens, positions);
  std::vector<Request> requests;
  for (std::size_t i = 0; i < task.documents.size(); ++i) {
    heartbeat::beat();
    for (const TaskChoice& choice : task.documents[i].choices) {
      try {
        requests.push_back(encoder.encode(choice.context, choice.continuation));
      } catch (const DataError& error) {
        throw DataError("a choice of document " + std::to_string(i + 1) + " of the task " + task.name + ", '" +
                            choice.continuation + "', cannot be scored",
                        error.what());
      }
    }
  }
  return requests;
}

// Names the work by all that the outcomes depend on besides the model.
std::string hash_of(const std::vector<Request>& requests) {
  Sha256 hash;
  for (const Request& request : requests) {
    const std::uint64_t sizes[] = {request.ids.size(), request.continuation};
    hash.update({reinterpret_cast<const char*>(sizes), sizeof sizes});
    hash.update({reinterpret_cast<const char*>(request.ids.data()), request.ids.size() * sizeof(std::int32_t)});
  }
  return hash.hex().substr(0, 16);
}

// Inputs padded on the right, where a causal model does not look: [rows, longest], int64.
at::Tensor inputs_of(std::span<const Row> rows, const std::vector<Request>& requests) {
  const auto width = static_cast<std::int64_t>(rows.front().length);
  at::Tensor ids = at::zeros({static_cast<std::int64_t>(rows.size()), width}, at::kLong);
  std::int64_t* data = ids.mutable_data_ptr<std::int64_t>();
  for (const Row& row : rows) {
    std::copy_n(requests[row.requests.front()].ids.begin(), row.length, data);
    data += width;
  }
  return ids;
}

// ln p [scored positions of all rows, vocab], fp32. Only these positions go through the head.
at::Tensor scored_log_probabilities(const Decoder& model, std::span<const Row> rows, const at::Tensor& ids) {
  const at::Tensor hidden = model.hidden_states(ids);
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto end = static_cast<std::int64_t>(rows[i].length);
    parts.push_back(
        hidden[static_cast<std::int64_t>(i)].slice(0, end - static_cast<std::int64_t>(rows[i].scored), end));
  }
  const at::Tensor logits = model.head(at::cat(parts).unsqueeze(0)).squeeze(0);
  return at::log_softmax(logits.to(at::kFloat), -1);
}

at::Tensor to_tensor(const std::vector<std::int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<std::int64_t>());
  return tensor;
}

// A score for each request of the rows, in the order of rows and of the requests in them.
std::vector<ChoiceScore> score_batch(const Decoder& model, std::span<const Row> rows,
                                     const std::vector<Request>& requests) {
  const at::NoGradGuard no_grad;
  const at::Device device = model.device();
  const at::Tensor log_p = scored_log_probabilities(model, rows, inputs_of(rows, requests).to(device));
  std::vector<std::int64_t> places, tokens;  // of every scored token
  std::int64_t end = 0;
  for (const Row& row : rows) {
    end += static_cast<std::int64_t>(row.scored);
    for (std::size_t index : row.requests) {
      const Request& request = requests[index];
      for (std::size_t i = 0; i < request.continuation; ++i) {
        places.push_back(end - static_cast<std::int64_t>(request.continuation - i));
        tokens.push_back(request.ids[request.ids.size() - request.continuation + i]);
      }
    }
  }
  const at::Tensor at_token = (to_tensor(places) * log_p.size(1) + to_tensor(tokens)).to(device);
  const at::Tensor picked = log_p.reshape({-1}).index_select(0, at_token).to(at::kCPU).contiguous();
  const at::Tensor guessed = log_p.argmax(-1).to(at::kCPU).contiguous();
  const float* values = picked.const_data_ptr<float>();
  const std::int64_t* guesses = guessed.const_data_ptr<std::int64_t>();
  std::vector<ChoiceScore> scores;
  std::size_t token = 0;
  for (const Row& row : rows) {
    for (std::size_t index : row.requests) {
      ChoiceScore score{0, true};
      for (std::size_t i = 0; i < requests[index].continuation; ++i, ++token) {
        score.log_likelihood += static_cast<double>(values[token]);
        score.greedy = score.greedy && guesses[places[token]] == tokens[token];
      }
      scores.push_back(score);
    }
  }
  return scores;
}

// Fixed size and no padding: these bytes are kept in the run's work log.
struct StoredScore {
  double log_likelihood, greedy;
};

std::string to_bytes(const std::vector<ChoiceScore>& scores) {
  std::string bytes;
  for (const ChoiceScore& score : scores) {
    const StoredScore stored{score.log_likelihood, score.greedy ? 1.0 : 0.0};
    bytes.append(reinterpret_cast<const char*>(&stored), sizeof stored);
  }
  return bytes;
}

// Gives the outcomes of all batches back to their requests.
std::vector<ChoiceScore> scores_by_request(const std::vector<std::string>& batches, const std::vector<Row>& rows,
                                           std::size_t requests) {
  std::string bytes;
  for (const std::string& batch : batches) bytes += batch;
  if (bytes.size() != requests * sizeof(StoredScore)) {
    throw StoreError("the scores of a task have the wrong size",
                     std::to_string(bytes.size()) + " bytes for " + std::to_string(requests) + " choices");
  }
  std::vector<ChoiceScore> scores(requests);
  std::size_t at = 0;
  for (const Row& row : rows) {
    for (std::size_t index : row.requests) {
      StoredScore stored;
      std::memcpy(&stored, bytes.data() + at, sizeof stored);
      at += sizeof stored;
      scores[index] = {stored.log_likelihood, stored.greedy != 0};
    }
  }
  return scores;
}

// The first of the largest values, as numpy.argmax.
template <class Value>
std::size_t best_choice(std::size_t choices, Value value) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < choices; ++i) {
    if (value(i) > value(best)) best = i;
  }
  return best;
}

std::optional<double> stderr_of(double share, std::int64_t count) {
  if (count < 2) return std::nullopt;
  return std::sqrt(share * (1 - share) / static_cast<double>(count - 1));
}

}  // namespace

TaskScore score_task(const Task& task, std::vector<ChoiceScore> scores) {
  TaskScore result;
  std::int64_t right = 0, right_normalized = 0;
  double sum = 0;
  bool one_choice = true;
  std::size_t first = 0;
  for (const TaskDocument& document : task.documents) {
    const std::size_t choices = document.choices.size();
    const auto log_likelihood = [&](std::size_t i) { return scores.at(first + i).log_likelihood; };
    const auto normalized = [&](std::size_t i) {
      return log_likelihood(i) / static_cast<double>(document.choices[i].characters);
    };
    if (choices == 1) {
      right += scores.at(first).greedy ? 1 : 0;
    } else {
      one_choice = false;
      right += best_choice(choices, log_likelihood) == document.gold ? 1 : 0;
      right_normalized += best_choice(choices, normalized) == document.gold ? 1 : 0;
    }
    sum += log_likelihood(document.gold);
    first += choices;
  }
  result.documents = static_cast<std::int64_t>(task.documents.size());
  const auto count = static_cast<double>(result.documents);
  result.accuracy = static_cast<double>(right) / count;
  result.accuracy_stderr = stderr_of(result.accuracy, result.documents);
  if (one_choice) result.perplexity = std::exp(-sum / count);
  if (has_normalized_accuracy(task.name)) {
    result.normalized_accuracy = static_cast<double>(right_normalized) / count;
    result.normalized_accuracy_stderr = stderr_of(*result.normalized_accuracy, result.documents);
  }
  result.choices = std::move(scores);
  return result;
}

TaskScore evaluate_task(Communicator& comm, const Decoder& model, const TaskTokens& tokens, const Task& task,
                        const EvaluationOptions& options) {
  const auto begin = Clock::now();
  std::vector<Request> requests;
  on_every_rank(comm, [&] { requests = encode_task(task, tokens, model.config().max_positions); });
  const std::vector<Row> rows = eval::rows_of(requests);
  const auto batch = static_cast<std::uint64_t>(options.batch);
  UnitWork work;
  work.name = "task/" + task.name + "/" + options.name + "/" + std::to_string(batch) + "/" + hash_of(requests);
  work.count = batch_count(rows.size(), batch);
  work.compute = [&](std::uint64_t index) {
    const std::size_t from = index * batch, to = std::min<std::size_t>(rows.size(), from + batch);
    const auto scores = score_batch(model, std::span(rows).subspan(from, to - from), requests);
    for (const ChoiceScore& score : scores) {
      if (!std::isfinite(score.log_likelihood)) {
        throw NumericError("a log-likelihood of the task " + task.name + " is not finite in batch " +
                           std::to_string(index));
      }
    }
    return to_bytes(scores);
  };
  std::optional<log::Progress> progress;
  work.progress = [&](std::uint64_t done, std::uint64_t of) {
    if (!options.show_progress) return;
    if (!progress) progress.emplace(task.name, of, "batches");
    progress->update(done);
  };
  const auto batches = run_units_for_all(comm, work, options.done, options.stop);
  TaskScore result = score_task(task, scores_by_request(batches, rows, requests.size()));
  result.seconds = seconds_since(begin);
  return result;
}

}  // namespace tercet
