// From a configuration's tasks to documents, and from scores to what is recorded of them.
#pragma once

#include <filesystem>
#include <vector>

#include "tercet/config/job_config.hpp"
#include "tercet/eval/task_score.hpp"
#include "tercet/report/results.hpp"

namespace tercet::job {

// Collective. The documents of evaluation.tasks. Throws ConfigError when gates.accuracy.metric is none of its task's,
// DataError as read_task.
std::vector<Task> read_tasks(Communicator& comm, const JobConfig& config);

TaskResult result_of(const TaskScore& score);

// A line of JSON for each document, with what its choices got. Throws StoreError.
struct MeasuredTask {
  Task task;
  TaskScore score;
};
void write_samples(const std::filesystem::path& file, const std::vector<MeasuredTask>& tasks);

}  // namespace tercet::job
