// Tasks with known answers, read from local files in the layouts in which they are published. Prompts and choices are
// those of EleutherAI's lm-evaluation-harness 0.4.13 without examples in the prompt (zero-shot); docs/tasks.md has each
// layout and what becomes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"

namespace tercet {

struct TaskChoice {
  std::string context, continuation;  // the continuation is scored, given the context
  std::int64_t characters = 0;        // code points of the answer by itself: what acc_norm divides by
};

struct TaskDocument {
  std::vector<TaskChoice> choices;  // one: a word that is to be predicted (lambada)
  std::size_t gold = 0;             // index of the right choice
};

struct Task {
  std::string name, path;
  std::string sha256;  // of the files' contents, in the order of their names
  std::vector<TaskDocument> documents;
};

std::vector<std::string> task_names();
bool has_normalized_accuracy(const std::string& task);  // whether acc_norm is one of its figures

// A file is itself. Of a folder: its .jsonl (mmlu: .csv) files by name, one for each paradigm or subject; of mmlu's
// published folder, those in test/. Throws ConfigError for an unknown task, DataError when there is no file.
std::vector<std::filesystem::path> task_files(const std::string& task, const std::filesystem::path& path);

// At most `limit` documents of each file (0: all). Throws ConfigError for an unknown task, and DataError that names
// file and line for a record that lacks a field or has a wrong label, and for a file without records.
Task read_task(const std::string& task, const std::filesystem::path& path, std::int64_t limit);
// Collective. The same; rank 0 reads the files.
Task read_task(Communicator& comm, const std::string& task, const std::filesystem::path& path, std::int64_t limit);

}  // namespace tercet
