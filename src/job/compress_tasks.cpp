// Tasks of the compress job: what the original and the packed model know.
#include <utility>

#include "compress_job.hpp"
#include "task_report.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"

namespace tercet::job {

// Before anything is computed, so that a wrong file ends the job at once.
void CompressJob::prepare_tasks() {
  tasks_ = read_tasks(comm_, config_);
  if (tasks_.empty()) return;
  on_every_rank(comm_,
                [&] { special_tokens_ = read_special_tokens(original_->location.tokenizer, *original_->tokenizer); });
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const Task& task = tasks_[i];
    const auto documents = static_cast<std::int64_t>(task.documents.size());
    task_figures_.push_back({task.name, task.path, task.sha256, config_.evaluation.tasks[i].limit, documents, {}, {}});
    log::info("task " + task.name + ": " + format_count(task.documents.size()) + " documents");
  }
}

void CompressJob::measure_tasks(const std::string& when, const std::string& name, const Decoder& model,
                                TaskResult TaskFigures::*place) {
  const TaskTokens tokens{*original_->tokenizer, special_tokens_};
  const EvaluationOptions options = evaluation_options(name);
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const TaskResult result = result_of(evaluate_task(comm_, model, tokens, tasks_[i], options));
    task_figures_[i].*place = result;
    const std::string prefix = "evaluation/" + when + "/" + tasks_[i].name + "/";
    if (result.accuracy) record(prefix + "acc", 0, *result.accuracy, "1");
    if (result.normalized_accuracy) record(prefix + "acc_norm", 0, *result.normalized_accuracy, "1");
    if (result.perplexity) record(prefix + "perplexity", 0, *result.perplexity, "1");
    log::info("    " + when + ", " + tasks_[i].name + ": accuracy " + format_fixed(result.accuracy.value_or(0), 4));
  }
}

std::optional<double> CompressJob::judged_accuracy(const TaskResult TaskFigures::*place, const Figures& figures) const {
  if (config_.gates.accuracy_task.empty()) return figures.accuracy;
  for (const TaskFigures& task : task_figures_) {
    if (task.name == config_.gates.accuracy_task) return (task.*place).metric(config_.gates.accuracy_metric);
  }
  return std::nullopt;
}

}  // namespace tercet::job
