// An offline run of Weights & Biases: a log of Record messages (wandb/proto/wandb_internal.proto), as its SDK writes it
// and `wandb sync` sends it.
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "tercet/base/environment.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/hash.hpp"
#include "tercet/report/status.hpp"
#include "tercet/track/tracker.hpp"
#include "track/framing.hpp"
#include "track/growing_file.hpp"
#include "track/protobuf.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;
using track::Message;

// Fields of Record, and of the messages inside.
constexpr int kNumber = 1, kHistory = 2, kSummary = 3, kMetric = 12, kControl = 16, kRun = 17, kExit = 18, kHeader = 21;
constexpr int kMailboxSlot = 4;
constexpr int kKey = 1, kNestedKey = 2, kValueJson = 16;

std::string run_id(const TrackedRun& run) {
  return sha256_hex(run.name + "\n" + std::to_string(run.began)).substr(0, 8);
}

std::string compact_time(double unix_seconds) {  // 20261123_233100
  std::string text;
  for (const char c : iso_time(unix_seconds)) {
    if (c == 'T') text += '_';
    if (c >= '0' && c <= '9') text += c;
  }
  return text;
}

// As Python's json module has it, which W&B reads with.
std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return json(value).dump();
}

Message item(const std::string& name, const std::string& value_json) {
  return Message().text(kNestedKey, name).text(kValueJson, value_json);
}

Message timestamp(double unix_seconds) {
  const double whole = std::floor(unix_seconds);
  return Message().integer(1, std::llround(whole)).integer(2, std::llround((unix_seconds - whole) * 1e9));
}

// Sections as objects inside each other; what JSON does not know of a value's YAML stays text.
json nested(const std::map<std::string, std::string>& settings) {
  json object = json::object();
  for (const auto& [key, value] : settings) {
    json* place = &object;
    std::string_view rest = key;
    for (std::size_t dot; (dot = rest.find('.')) != std::string_view::npos; rest.remove_prefix(dot + 1))
      place = &(*place)[std::string(rest.substr(0, dot))];
    (*place)[std::string(rest)] = json::accept(value) ? json::parse(value) : json(value);
  }
  return object;
}

Message config_message(const TrackedRun& run) {
  Message config;
  const json settings = nested(run.settings);
  for (const auto& [key, value] : settings.items()) {
    const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    config.message(1, Message().text(kKey, key).text(kValueJson, text));
  }
  return config;
}

class Wandb : public Tracker {
 public:
  Wandb(const fs::path& folder, const TrackedRun& run, const WandbProject& project)
      : began_(run.began), file_(opened(wandb_folder(folder, run), run_id(run))) {
    const std::string header = track::LevelDbLog::header();
    file_.append(header);
    position_ = header.size();
    const Message version =
        Message().text(1, "tercet").text(2, "0.70.0");  // the oldest reader that SDKs of today allow
    write(kHeader, Message().message(1, version));
    Message start = Message().text(1, run_id(run));
    if (!project.entity.empty()) start.text(2, project.entity);
    start.text(3, project.project).message(4, config_message(run));
    start.text(8, project.name.empty() ? run.name : project.name).text(13, host_name());
    write(kRun, start.message(17, timestamp(run.began)));
  }

  // Values of one group ("training") and step make one row. W&B's own _step must only grow, and ours begins anew with
  // each group and attempt; so it counts rows, and <group>/step is the axis that the group is drawn over.
  void add(const TrackedValue& value) override {
    const std::string group = value.series.substr(0, value.series.find('/'));
    if (group != group_ || value.step != step_ || row_.contains(value.series)) finish_row();
    if (groups_.insert(group).second) define_axis(group);
    group_ = group;
    step_ = value.step;
    row_[value.series] = json_number(value.value);
    row_time_ = value.wall_time;
  }
  void add_text(const std::string&, const std::string&, double) override {}  // the settings are there as they are
  void end(int exit_code, double wall_time) override {
    finish_row();
    write(kExit, Message().integer(1, exit_code).integer(2, std::llround(wall_time - began_)));
  }

 private:
  static track::GrowingFile opened(const fs::path& folder, const std::string& id) {
    make_folder(folder / "files");
    const fs::path file = folder / ("run-" + id + ".wandb");
    for (const char* mark : {".synced", ".syncstate"}) fs::remove(file.string() + mark);  // of what was sent of another
    return track::GrowingFile(file);
  }

  void write(int field, const Message& content) {
    Message record = Message().integer(kNumber, ++records_).message(field, content);
    // Without an address for the answer (any will do), `wandb sync` 0.28 waits for ever for that to the exit.
    if (field == kRun || field == kExit) record.message(kControl, Message().text(kMailboxSlot, "tercet"));
    file_.append(track::LevelDbLog::record(record.bytes(), position_));
  }

  void define_axis(const std::string& group) {
    const std::string axis = group + "/step";
    write(kMetric, Message().text(1, axis).message(6, Message().integer(3, 1)));
    write(kMetric, Message().text(2, group + "/*").text(4, axis).message(6, Message().integer(1, 1).integer(3, 1)));
  }

  void finish_row() {
    if (row_.empty()) return;
    row_[group_ + "/step"] = std::to_string(step_);
    row_["_step"] = std::to_string(rows_);
    row_["_timestamp"] = json_number(row_time_);
    row_["_runtime"] = json_number(row_time_ - began_);
    Message history, summary;
    for (const auto& [name, value] : row_) {
      history.message(1, item(name, value));
      summary.message(1, item(name, value));
    }
    write(kSummary, summary);
    write(kHistory, history.message(2, Message().integer(1, rows_)));
    ++rows_;
    row_.clear();
  }

  double began_;
  track::GrowingFile file_;
  std::uint64_t position_ = 0;
  std::int64_t records_ = 0, rows_ = 0;
  std::set<std::string> groups_;
  std::string group_;
  std::int64_t step_ = 0;
  std::map<std::string, std::string> row_;  // JSON by series
  double row_time_ = 0;
};

}  // namespace

fs::path wandb_folder(const fs::path& folder, const TrackedRun& run) {
  return folder / "wandb" / ("offline-run-" + compact_time(run.began) + "-" + run_id(run));
}

std::unique_ptr<Tracker> wandb_tracker(const fs::path& folder, const TrackedRun& run, const WandbProject& project) {
  return std::make_unique<Wandb>(folder, run, project);
}

}  // namespace tercet
