// TensorBoard's event files: records of Event messages (tensorflow/core/util/event.proto, framework/summary.proto).
#include <cstdio>
#include <vector>

#include "tercet/base/environment.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/status.hpp"
#include "tercet/track/tracker.hpp"
#include "track/framing.hpp"
#include "track/growing_file.hpp"
#include "track/protobuf.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using track::Message;

constexpr const char* kOurs = ".tercet";  // how the names of our files end

Message event(double wall_time, std::int64_t step) {
  return Message().number(1, wall_time).integer(2, step);
}

Message scalar_summary(const TrackedValue& value) {
  const Message scalar = Message().text(1, value.series).single(2, static_cast<float>(value.value));
  return Message().message(1, scalar);
}

// For the plugin "text": a tensor of one string, which is shown as Markdown.
Message text_summary(const std::string& tag, const std::string& markdown) {
  constexpr std::int64_t kStringType = 7;
  const Message plugin = Message().message(1, Message().text(1, "text"));
  const Message tensor = Message().integer(1, kStringType).message(2, Message()).text(8, markdown);
  return Message().message(1, Message().text(1, tag).message(8, tensor).message(9, plugin));
}

// TensorBoard reads the files of a folder in the order of their names, so a later file needs a greater one.
std::string file_name(double now) {
  const auto microseconds = static_cast<long long>(now * 1e6);
  char time[40];
  std::snprintf(time, sizeof time, "%010lld.%06lld", microseconds / 1000000, microseconds % 1000000);
  return std::string("events.out.tfevents.") + time + "." + host_name() + kOurs;
}

std::vector<fs::path> files_of_ours(const fs::path& folder) {
  make_folder(folder);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with(kOurs)) files.push_back(entry.path());
  }
  return files;
}

class TensorBoard : public Tracker {
 public:
  TensorBoard(const fs::path& folder, const TrackedRun& run)
      : earlier_(files_of_ours(folder)), file_(folder / file_name(unix_time())) {
    write(Message().number(1, unix_time()).text(3, "brain.Event:2"));
    // A TensorBoard that has read an earlier file drops what it knows from this step on: everything.
    constexpr std::int64_t kStart = 1;
    write(event(unix_time(), 0).message(7, Message().integer(1, kStart)));
    // Emptied, not removed: it would look for its file for ever, instead of going on to the next one.
    for (const fs::path& file : earlier_) fs::resize_file(file, 0);
    if (!run.config.empty()) add_text("config", "```yaml\n" + run.config + "```\n", run.began);
  }

  void add(const TrackedValue& value) override {
    write(event(value.wall_time, value.step).message(5, scalar_summary(value)));
  }
  void add_text(const std::string& name, const std::string& markdown, double wall_time) override {
    write(event(wall_time, 0).message(5, text_summary(name, markdown)));
  }
  void end(int /*exit_code*/, double /*wall_time*/) override {}

 private:
  void write(const Message& message) { file_.append(track::tensorflow_record(message.bytes())); }

  std::vector<fs::path> earlier_;
  track::GrowingFile file_;
};

}  // namespace

std::unique_ptr<Tracker> tensorboard_tracker(const fs::path& folder, const TrackedRun& run) {
  return std::make_unique<TensorBoard>(folder, run);
}

}  // namespace tercet
