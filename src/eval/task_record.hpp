// One record of a task's file, whatever the file is: a line of JSON, or a row of a CSV as {"cells": [...]}.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tercet::eval {

class TaskRecord {
 public:
  TaskRecord(nlohmann::json value, std::string file, std::size_t line, const char* layout)
      : value_(std::move(value)), file_(std::move(file)), line_(line), layout_(layout) {}

  const std::string& file() const { return file_; }
  bool has(const std::string& key) const;
  void set(const std::string& key, nlohmann::json value) { value_[key] = std::move(value); }
  // Each throws DataError that names file, line, field and the layout when the field is not there or is something else.
  const std::string& text(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  TaskRecord object(const std::string& key) const;
  std::vector<TaskRecord> objects(const std::string& key) const;
  std::size_t index(const std::string& key, std::size_t choices) const;  // a number or its digits, below `choices`
  [[noreturn]] void fail(const std::string& reason) const;

 private:
  const nlohmann::json& field(const std::string& key) const;
  nlohmann::json value_;
  std::string file_;
  std::size_t line_;
  const char* layout_;  // what a record looks like
};

// A file with the text of the one beside it that holds its labels (piqa; empty: there is none).
struct TaskText {
  std::string path, text, labels_path, labels;
};

// The first `limit` records (0: all), or fewer. All throw DataError.
std::vector<TaskRecord> json_records(const TaskText& file, std::size_t limit, const char* layout);
std::vector<TaskRecord> json_records_with_labels(const TaskText& file, std::size_t limit, const char* layout);
std::vector<TaskRecord> csv_records(const TaskText& file, std::size_t limit, const char* layout);

}  // namespace tercet::eval
