#include "tercet/eval/task.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "eval/task_layout.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet {
namespace fs = std::filesystem;
using eval::TaskLayout;
using eval::TaskText;
namespace {

std::string read_utf8(const fs::path& path) {
  std::string text = read_file(path);
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos) {
    throw DataError("'" + path.string() + "' is not UTF-8", "invalid byte at offset " + std::to_string(bad),
                    "convert it, for example with iconv");
  }
  return text;
}

TaskText read_text(const TaskLayout& layout, const fs::path& path) {
  TaskText file{path.string(), read_utf8(path), "", ""};
  if (*layout.labels == '\0') return file;
  const fs::path labels = path.parent_path() / (path.stem().string() + layout.labels);
  if (!fs::exists(labels)) return file;
  file.labels_path = labels.string();
  file.labels = read_utf8(labels);
  return file;
}

std::vector<TaskText> read_texts(const TaskLayout& layout, const fs::path& path) {
  std::vector<TaskText> files;
  for (const fs::path& file : task_files(layout.name, path)) files.push_back(read_text(layout, file));
  return files;
}

// As text for the other ranks.
std::string to_wire(const std::vector<TaskText>& files) {
  auto all = nlohmann::json::array();
  for (const TaskText& file : files) all.push_back({file.path, file.text, file.labels_path, file.labels});
  return all.dump();
}

std::vector<TaskText> from_wire(const std::string& wire) {
  std::vector<TaskText> files;
  for (const auto& file : nlohmann::json::parse(wire)) files.push_back({file[0], file[1], file[2], file[3]});
  return files;
}

Task make_task(const TaskLayout& layout, const fs::path& path, const std::vector<TaskText>& files, std::int64_t limit) {
  Task task{layout.name, path.string(), "", {}};
  Sha256 hash;
  for (const TaskText& file : files) {
    hash.update(sha256_hex(file.text) + sha256_hex(file.labels));
    const auto records = layout.records(file, static_cast<std::size_t>(limit), layout.record);
    if (records.empty()) {
      throw DataError("'" + file.path + "' holds nothing for the task " + task.name, "it has no record",
                      std::string("a record looks like ") + layout.record);
    }
    for (const eval::TaskRecord& record : records) task.documents.push_back(layout.document(record));
  }
  task.sha256 = hash.hex();
  return task;
}

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskLayout& layout : eval::task_layouts()) names.emplace_back(layout.name);
  return names;
}

bool has_normalized_accuracy(const std::string& task) {
  return eval::task_layout(task).normalized;
}

std::vector<fs::path> task_files(const std::string& task, const fs::path& path) {
  const TaskLayout& layout = eval::task_layout(task);
  if (!fs::exists(path)) {
    throw DataError("the file of the task " + task + ", '" + path.string() + "', does not exist", "",
                    "docs/tasks.md says which file of a release it is");
  }
  if (!fs::is_directory(path)) return {path};
  const fs::path folder = task == "mmlu" && fs::is_directory(path / "test") ? path / "test" : path;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == layout.suffix) files.push_back(entry.path());
  }
  if (files.empty()) {
    throw DataError("'" + folder.string() + "' has no file of the task " + task,
                    std::string("nothing there ends in ") + layout.suffix);
  }
  std::sort(files.begin(), files.end());
  return files;
}

Task read_task(const std::string& task, const fs::path& path, std::int64_t limit) {
  const TaskLayout& layout = eval::task_layout(task);
  return make_task(layout, path, read_texts(layout, path), limit);
}

Task read_task(Communicator& comm, const std::string& task, const fs::path& path, std::int64_t limit) {
  const TaskLayout& layout = eval::task_layout(task);
  const std::string wire = on_root(comm, [&] { return to_wire(read_texts(layout, path)); });
  Task result;
  on_every_rank(comm, [&] { result = make_task(layout, path, from_wire(wire), limit); });
  return result;
}

}  // namespace tercet
