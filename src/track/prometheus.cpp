// The text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/), as the textfile
// collector of its node exporter reads it. Names of series can hold what names of metrics cannot, so they are a label.
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"
#include "tercet/report/status.hpp"
#include "tercet/track/tracker.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

std::string label(const std::string& name, const std::string& value) {
  std::string text = name + "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return text + "\"";
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return nlohmann::json(value).dump();
}

std::string family(const std::string& name, const std::string& help) {
  return "# HELP " + name + " " + help + "\n# TYPE " + name + " gauge\n";
}

fs::path file_of(const fs::path& place, const std::string& run) {
  if (place.extension() == ".prom") return place;
  std::string name;
  for (const char c : run) name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ? c : '_';
  return place / ("tercet-" + name + ".prom");
}

class Prometheus : public Tracker {
 public:
  Prometheus(const fs::path& place, const TrackedRun& run, double interval_s)
      : file_(file_of(place, run.name)),
        run_(label("run", run.name) + "," + label("folder", fs::absolute(run.folder).lexically_normal().string())),
        began_(run.began),
        interval_s_(interval_s) {
    make_folder(file_.parent_path());
  }

  void add(const TrackedValue& value) override {
    last_[value.series] = value;
    newest_ = std::max(newest_, value.wall_time);
    if (unix_time() - written_ >= interval_s_) write();
  }
  void add_text(const std::string&, const std::string&, double) override {}
  void end(int exit_code, double wall_time) override {
    exit_code_ = exit_code;
    newest_ = std::max(newest_, wall_time);
    write();
  }

 private:
  std::string one(const std::string& name, const std::string& help, double value) const {
    return family(name, help) + name + "{" + run_ + "} " + number(value) + "\n";
  }

  void write() {
    std::string values = family("tercet_metric", "Newest value of a series of the run.");
    std::string steps = family("tercet_metric_step", "Its step.");
    for (const auto& [series, value] : last_) {
      const std::string labels = "{" + run_ + "," + label("name", series) + "," + label("unit", value.unit) + "} ";
      values += "tercet_metric" + labels + number(value.value) + "\n";
      steps += "tercet_metric_step" + labels + std::to_string(value.step) + "\n";
    }
    std::string text = values + steps;
    text += one("tercet_run_began_time_seconds", "Start of the first attempt, seconds since 1970.", began_);
    text += one("tercet_run_updated_time_seconds", "Newest record of the run, seconds since 1970.", newest_);
    text += one("tercet_run_ended", "1: the run has ended; 0: it works, or was killed.", exit_code_ ? 1 : 0);
    if (exit_code_)
      text += one("tercet_run_exit_code", "Exit code of the run: 0 passed, 3 a gate failed.", *exit_code_);
    replace_file(file_, text);
    written_ = unix_time();
  }

  fs::path file_;
  std::string run_;  // labels
  double began_, interval_s_, written_ = unix_time(), newest_ = 0;
  std::map<std::string, TrackedValue> last_;
  std::optional<int> exit_code_;
};

}  // namespace

std::unique_ptr<Tracker> prometheus_tracker(const fs::path& place, const TrackedRun& run, double interval_s) {
  return std::make_unique<Prometheus>(place, run, interval_s);
}

}  // namespace tercet
