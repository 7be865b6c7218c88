// How well a model does a task: log-likelihood of each choice, the likeliest counts as its answer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/eval/task.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/text/special_tokens.hpp"
#include "tercet/text/tokenizer.hpp"

namespace tercet {

struct TaskTokens {  // what turns prompts into ids
  const Tokenizer& tokenizer;
  SpecialTokens special;
};

struct ChoiceScore {
  double log_likelihood = 0;  // sum of ln p over the continuation's tokens, given all before
  bool greedy = false;        // each of them is the model's most likely one
};

// accuracy: share of documents whose gold choice has the largest log-likelihood (the first of equal ones); with one
// choice (lambada), of those whose continuation is greedy. normalized_accuracy: the same for log-likelihood /
// characters. stderr of a share p of n: sqrt(p (1 - p) / (n - 1)). perplexity: exp(-mean log-likelihood), for one
// choice.
struct TaskScore {
  std::int64_t documents = 0;
  double accuracy = 0;
  std::optional<double> accuracy_stderr;  // nullopt: of one document
  std::optional<double> normalized_accuracy, normalized_accuracy_stderr, perplexity;
  std::vector<ChoiceScore> choices;  // document after document
  double seconds = 0;
};

// Collective. Sequences are sorted by length and cut into batches in the same way whatever the number of ranks, which
// share the batches out; every rank gets all results, the same to the bit. What the model's positions cannot hold is
// cut off on the left. `options.name` says what model is measured. Throws DataError when a choice has no token of its
// own, NumericError when a log-likelihood is not finite.
TaskScore evaluate_task(Communicator& comm, const Decoder& model, const TaskTokens& tokens, const Task& task,
                        const EvaluationOptions& options);

// The figures of log-likelihoods that are known already; `scores` as TaskScore::choices. Pure.
TaskScore score_task(const Task& task, std::vector<ChoiceScore> scores);

}  // namespace tercet
