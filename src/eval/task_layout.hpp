// The table of tasks: one row says how a task's file is read and what is asked of the model.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/task_record.hpp"
#include "tercet/eval/task.hpp"

namespace tercet::eval {

struct TaskLayout {
  const char* name;
  const char* suffix;  // of the files in a folder
  const char* labels;  // what follows the stem in the name of a file with labels beside it; "": there is none
  const char* record;  // what a record looks like, for messages
  bool normalized;     // acc_norm is a figure of this task
  std::vector<TaskRecord> (*records)(const TaskText& file, std::size_t limit, const char* layout);
  TaskDocument (*document)(const TaskRecord& record);
};

std::span<const TaskLayout> task_layouts();
const TaskLayout& task_layout(const std::string& name);  // throws ConfigError with the nearest name

}  // namespace tercet::eval
