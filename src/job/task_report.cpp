#include "task_report.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"

namespace tercet::job {

std::vector<Task> read_tasks(Communicator& comm, const JobConfig& config) {
  const GatesSection& gates = config.gates;
  if (!gates.accuracy_task.empty() && gates.accuracy_metric == "acc_norm" &&
      !has_normalized_accuracy(gates.accuracy_task)) {
    throw ConfigError("gates.accuracy.metric is acc_norm", "the task " + gates.accuracy_task + " has only acc",
                      "leave the key out");
  }
  std::vector<Task> tasks;
  for (const TaskConfig& task : config.evaluation.tasks) {
    tasks.push_back(read_task(comm, task.name, task.path, task.limit));
  }
  return tasks;
}

TaskResult result_of(const TaskScore& score) {
  return {score.accuracy, score.accuracy_stderr, score.normalized_accuracy, score.normalized_accuracy_stderr,
          score.perplexity};
}

void write_samples(const std::filesystem::path& file, const std::vector<MeasuredTask>& tasks) {
  std::string text;
  for (const auto& [task, score] : tasks) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < task.documents.size(); ++i) {
      auto choices = nlohmann::json::array();
      for (const TaskChoice& choice : task.documents[i].choices) {
        const ChoiceScore& known = score.choices.at(next++);
        choices.push_back({{"context", choice.context},
                           {"continuation", choice.continuation},
                           {"characters", choice.characters},
                           {"log_likelihood", known.log_likelihood},
                           {"greedy", known.greedy}});
      }
      const nlohmann::json line{
          {"task", task.name}, {"document", i}, {"gold", task.documents[i].gold}, {"choices", choices}};
      text += line.dump() + "\n";
    }
  }
  write_file_atomically(file, text);
}

}  // namespace tercet::job
