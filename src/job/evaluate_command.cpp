// tercet evaluate: the figures of any model on any text, by the protocol of non-overlapping windows, and on tasks.
#include <optional>

#include "model_loader.hpp"
#include "task_report.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/text.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/eval/task_score.hpp"
#include "tercet/job/commands.hpp"

namespace tercet {
namespace {

using Rows = std::vector<std::vector<std::string>>;

nlohmann::json to_json(const Evaluation& evaluation) {
  nlohmann::json json{{"tokens", evaluation.tokens},
                      {"nll", evaluation.nll},
                      {"perplexity", evaluation.perplexity},
                      {"top1_accuracy", evaluation.top1_accuracy}};
  if (evaluation.top1_agreement) json["top1_agreement"] = *evaluation.top1_agreement;
  if (evaluation.kl) json["kl"] = *evaluation.kl;
  return json;
}

std::string to_text(const Evaluation& evaluation) {
  Rows rows{{"measure", "value"},
            {"tokens", std::to_string(evaluation.tokens)},
            {"nll", format_fixed(evaluation.nll, 6)},
            {"perplexity", format_fixed(evaluation.perplexity, 5)},
            {"top1_accuracy", format_fixed(evaluation.top1_accuracy, 5)}};
  if (evaluation.top1_agreement) rows.push_back({"top1_agreement", format_fixed(*evaluation.top1_agreement, 5)});
  if (evaluation.kl) rows.push_back({"kl", format_fixed(*evaluation.kl, 6)});
  return format_table(rows);
}

// The rows of one model on one task.
void add_rows(Rows& rows, const std::string& task, const std::string& of, const TaskScore& score) {
  const auto add = [&](const char* metric, double value, int digits, const std::optional<double>& error) {
    rows.push_back({task, of, metric, format_fixed(value, digits), error ? format_fixed(*error, digits) : "",
                    std::to_string(score.documents)});
  };
  add("acc", score.accuracy, 4, score.accuracy_stderr);
  if (score.normalized_accuracy) add("acc_norm", *score.normalized_accuracy, 4, score.normalized_accuracy_stderr);
  if (score.perplexity) add("perplexity", *score.perplexity, 4, std::nullopt);
}

void check_same_vocabulary(const job::LoadedModel& model, const job::LoadedModel& reference) {
  if (model.decoder.config().vocab_size == reference.decoder.config().vocab_size) return;
  throw DataError("the two models cannot be compared token by token",
                  "their vocabularies have " + std::to_string(model.decoder.config().vocab_size) + " and " +
                      std::to_string(reference.decoder.config().vocab_size) + " entries");
}

struct TaskName {
  std::string name, path;
};
std::vector<TaskName> names_of(const EvaluateRequest& request) {
  if (request.data.empty() && request.tasks.empty()) {
    throw ConfigError("there is nothing to evaluate on", "neither --data nor --task was given");
  }
  if (request.tasks.empty() && !request.samples.empty()) {
    throw ConfigError("--samples has nothing to write", "no --task was given");
  }
  std::vector<TaskName> names;
  for (const std::string& text : request.tasks) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals + 1 == text.size()) {
      throw ConfigError("--task '" + text + "' is not of the form NAME=FILE", "", "for example hellaswag=val.jsonl");
    }
    names.push_back({text.substr(0, equals), text.substr(equals + 1)});
    has_normalized_accuracy(names.back().name);  // throws for an unknown task before anything is measured
  }
  return names;
}

void evaluate_text(Communicator& comm, const EvaluateRequest& request, const job::LoadedModel& model,
                   const job::LoadedModel* reference, CommandResult& result) {
  const Windows windows = windows_of(tokenize_file(comm, request.data, *model.tokenizer), request.sequence_length)
                              .first(static_cast<std::uint64_t>(request.windows));
  const Evaluation evaluation = evaluate(comm, model.decoder, windows, {request.batch, true},
                                         reference != nullptr ? &reference->decoder : nullptr);
  result.json = to_json(evaluation);
  result.text = to_text(evaluation);
}

void evaluate_tasks(Communicator& comm, const EvaluateRequest& request, const std::vector<TaskName>& names,
                    const job::LoadedModel& model, const job::LoadedModel* reference, CommandResult& result) {
  TaskTokens tokens{*model.tokenizer, {}};
  on_every_rank(comm, [&] { tokens.special = read_special_tokens(model.location.tokenizer, *model.tokenizer); });
  EvaluationOptions options;
  options.batch = request.batch;
  Rows rows{{"task", "model", "metric", "value", "stderr", "documents"}};
  std::vector<job::MeasuredTask> measured;
  auto list = nlohmann::json::array();
  for (const TaskName& wanted : names) {
    const Task task = read_task(comm, wanted.name, wanted.path, request.limit);
    const TaskScore score = evaluate_task(comm, model.decoder, tokens, task, options);
    nlohmann::json json = to_json(job::result_of(score));
    json.update({{"task", task.name}, {"path", task.path}, {"sha256", task.sha256}, {"documents", score.documents}});
    add_rows(rows, task.name, "this", score);
    if (reference != nullptr) {
      const TaskScore other = evaluate_task(comm, reference->decoder, tokens, task, options);
      json["against"] = to_json(job::result_of(other));
      add_rows(rows, task.name, "against", other);
    }
    list.push_back(std::move(json));
    measured.push_back({task, score});
  }
  result.json["tasks"] = std::move(list);
  result.text += (result.text.empty() ? "" : "\n") + format_table(rows);
  if (request.samples.empty()) return;
  on_root(comm, [&] {
    job::write_samples(request.samples, measured);
    return std::string();
  });
}

}  // namespace

CommandResult evaluate_model(Runtime& runtime, Communicator& comm, const EvaluateRequest& request) {
  std::vector<TaskName> tasks;
  std::optional<job::LoadedModel> model, reference;
  on_every_rank(comm, [&] {
    tasks = names_of(request);
    // Embedding and head stay float in both, so that what differs is the rounding of sums alone.
    const WeightForm form = request.weights == "packed" ? WeightForm::kPackedBlocks : WeightForm::kDense;
    model.emplace(job::load_model(request.model, request.tokenizer, runtime.device(), form));
    if (!request.against.empty()) {
      reference.emplace(job::load_model(request.against, model->location.tokenizer, runtime.device()));
      check_same_vocabulary(*model, *reference);
    }
    if (!request.data.empty()) {
      job::check_positions(model->decoder.config(), request.sequence_length, "--sequence-length");
    }
  });
  CommandResult result;
  const job::LoadedModel* other = reference ? &*reference : nullptr;
  if (!request.data.empty()) evaluate_text(comm, request, *model, other, result);
  if (!tasks.empty()) evaluate_tasks(comm, request, tasks, *model, other, result);
  return result;
}

}  // namespace tercet
