#include "eval/task_record.hpp"

#include <algorithm>
#include <charconv>

#include "eval/task_text.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet::eval {
namespace {

using nlohmann::json;

std::string place(const std::string& file, std::size_t line) {
  return file + ":" + std::to_string(line);
}

struct Line {
  std::string_view text;
  std::size_t number = 0;  // from 1
};

// The lines that are not blank, at most `limit` (0: all).
std::vector<Line> lines_of(std::string_view text, std::size_t limit) {
  std::vector<Line> lines;
  std::size_t number = 0;
  while (!text.empty() && (limit == 0 || lines.size() < limit)) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    ++number;
    if (const std::string_view line = strip(text.substr(0, end)); !line.empty()) lines.push_back({line, number});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// One row of a CSV (RFC 4180): quotes count only where a cell begins, and are doubled inside.
class CsvReader {
 public:
  CsvReader(const TaskText& file, const char* layout) : file_(file), layout_(layout), text_(file.text) {}

  bool at_end() const { return at_ >= text_.size(); }

  TaskRecord row() {
    const std::size_t first_line = line_;
    json cells = json::array();
    do {
      cells.push_back(cell(first_line));
    } while (take(','));
    take('\r');
    if (take('\n')) ++line_;
    return {{{"cells", std::move(cells)}}, file_.path, first_line, layout_};
  }

 private:
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string cell(std::size_t first_line) {
    std::string value;
    if (take('"')) {
      for (;; ++at_) {
        if (at_end())
          throw DataError("'" + place(file_.path, first_line) + "' cannot be read", "a quote is not closed");
        if (text_[at_] == '\n') ++line_;
        if (text_[at_] != '"') {
          value += text_[at_];
        } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
          value += text_[at_++];
        } else {
          ++at_;
          break;
        }
      }
    }
    const std::size_t end = std::min(text_.find_first_of(",\n", at_), text_.size());
    value += text_.substr(at_, end - at_);
    at_ = end;
    if (value.ends_with('\r')) value.pop_back();
    return value;
  }

  const TaskText& file_;
  const char* layout_;
  std::string_view text_;
  std::size_t at_ = 0, line_ = 1;
};

}  // namespace

bool TaskRecord::has(const std::string& key) const {
  return value_.contains(key) && !value_.at(key).is_null();
}

const json& TaskRecord::field(const std::string& key) const {
  if (!has(key)) fail("it has no '" + key + "'");
  return value_.at(key);
}

const std::string& TaskRecord::text(const std::string& key) const {
  const json& value = field(key);
  if (!value.is_string()) fail("'" + key + "' is a " + value.type_name() + ", not a text");
  return value.get_ref<const std::string&>();
}

std::vector<std::string> TaskRecord::texts(const std::string& key) const {
  std::vector<std::string> all;
  const json& list = field(key);
  if (!list.is_array()) fail("'" + key + "' is a " + list.type_name() + ", not a list of texts");
  for (const json& item : list) {
    if (!item.is_string()) fail("'" + key + "' holds a " + item.type_name() + ", not only texts");
    all.push_back(item.get<std::string>());
  }
  return all;
}

TaskRecord TaskRecord::object(const std::string& key) const {
  const json& value = field(key);
  if (!value.is_object()) fail("'" + key + "' is a " + value.type_name() + ", not an object");
  return {value, file_, line_, layout_};
}

std::vector<TaskRecord> TaskRecord::objects(const std::string& key) const {
  std::vector<TaskRecord> all;
  const json& list = field(key);
  if (!list.is_array()) fail("'" + key + "' is a " + list.type_name() + ", not a list of objects");
  for (const json& item : list) {
    if (!item.is_object()) fail("'" + key + "' holds a " + item.type_name() + ", not only objects");
    all.push_back({item, file_, line_, layout_});
  }
  return all;
}

std::size_t TaskRecord::index(const std::string& key, std::size_t choices) const {
  const json& value = field(key);
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size() || index >= choices) {
    fail("'" + key + "' is '" + text + "', not a number from 0 to " + std::to_string(choices - 1));
  }
  return index;
}

void TaskRecord::fail(const std::string& reason) const {
  throw DataError("'" + place(file_, line_) + "' cannot be used", reason,
                  std::string("a record looks like ") + layout_);
}

std::vector<TaskRecord> json_records(const TaskText& file, std::size_t limit, const char* layout) {
  std::vector<TaskRecord> records;
  for (const Line& line : lines_of(file.text, limit)) {
    records.emplace_back(parse_json_object(line.text, place(file.path, line.number)), file.path, line.number, layout);
  }
  return records;
}

std::vector<TaskRecord> json_records_with_labels(const TaskText& file, std::size_t limit, const char* layout) {
  std::vector<TaskRecord> records = json_records(file, limit, layout);
  if (file.labels_path.empty()) return records;
  const std::vector<Line> labels = lines_of(file.labels, 0);
  const std::size_t all = limit == 0 ? records.size() : lines_of(file.text, 0).size();
  if (labels.size() != all) {
    throw DataError("'" + file.labels_path + "' does not fit '" + file.path + "'",
                    "it has " + std::to_string(labels.size()) + " labels for " + std::to_string(all) + " records",
                    "take both from the same release");
  }
  for (std::size_t i = 0; i < records.size(); ++i) records[i].set("label", std::string(labels[i].text));
  return records;
}

std::vector<TaskRecord> csv_records(const TaskText& file, std::size_t limit, const char* layout) {
  std::vector<TaskRecord> records;
  CsvReader reader(file, layout);
  while (!reader.at_end() && (limit == 0 || records.size() < limit)) {
    TaskRecord row = reader.row();
    const std::vector<std::string> cells = row.texts("cells");
    if (cells.size() > 1 || !strip(cells.front()).empty()) records.push_back(std::move(row));
  }
  return records;
}

}  // namespace tercet::eval
