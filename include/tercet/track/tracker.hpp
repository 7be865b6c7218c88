// What a run measured, for programs that follow many runs: one interface, and one implementation for each of them that
// writes files. docs/trackers.md says what lands where.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace tercet {

struct TrackedRun {
  std::string name;
  std::filesystem::path folder;
  double began = 0;                             // of the first attempt, seconds since 1970
  std::string config;                           // YAML; "": not known
  std::map<std::string, std::string> settings;  // the same by key, with values as the YAML has them
};

struct TrackedValue {
  std::string series;  // "training/loss"
  std::int64_t step = 0;
  double value = 0;
  std::string unit;
  double wall_time = 0;  // seconds since 1970
};

// One begins its output anew with its construction. All functions throw StoreError when it cannot be written.
class Tracker {
 public:
  virtual ~Tracker() = default;
  virtual void add(const TrackedValue& value) = 0;
  virtual void add_text(const std::string& name, const std::string& markdown, double wall_time) = 0;
  virtual void end(int exit_code, double wall_time) = 0;
};

// An event file in `folder`. Those that this function wrote there before are emptied.
std::unique_ptr<Tracker> tensorboard_tracker(const std::filesystem::path& folder, const TrackedRun& run);

struct WandbProject {
  std::string project = "tercet";
  std::string entity;  // empty: that of whoever syncs it
  std::string name;    // of the run there; empty: the run's own
};
// <folder>/wandb/offline-run-<date>_<time>-<id>, where the id follows from the run: written again, it has the same
// place.
std::unique_ptr<Tracker> wandb_tracker(const std::filesystem::path& folder, const TrackedRun& run,
                                       const WandbProject& project);
std::filesystem::path wandb_folder(const std::filesystem::path& folder, const TrackedRun& run);

// A textfile for Prometheus's node exporter. `place` is the file (*.prom) or the exporter's folder. It is replaced at
// most every `interval_s`, and by end().
std::unique_ptr<Tracker> prometheus_tracker(const std::filesystem::path& place, const TrackedRun& run,
                                            double interval_s = 5);

}  // namespace tercet
