// The trackers of a run: fed with its records while it works, or with all of them afterwards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tercet/config/job_config.hpp"
#include "tercet/report/run_view.hpp"
#include "tercet/store/run_file.hpp"
#include "tercet/track/tracker.hpp"

namespace tercet {

// The records of a run as values, in the order of their times. Series: those of the metrics, where a later attempt's
// values replace what it repeated, and
//   stage/<name>/seconds, rank/<rank>/{peak_memory_bytes,tokens_per_second}, gate/<name>/{value,passed},
//   compression/<the 19 of compression_metadata.json>
// whose step is the attempt that recorded them. Records without a time of their own get `time_of_tables`, otherwise the
// newest of the run.
std::vector<TrackedValue> values_of(const RunRecord& run, std::optional<double> time_of_tables = {});
TrackedRun tracked_run(const RunView& view);
int exit_code_of(const RunView& view);  // 70 (internal) of a run that does not say how it ended

// Everything that a run recorded, and its end.
void replay(Tracker& tracker, const RunView& view);

// What the configuration turns on, for a run under way. A tracker that fails is named in a warning, once, and left out
// from there on: none of them ends a job, and the journal has everything. No function throws.
class Trackers {
 public:
  // Each tracker begins with what the journal of earlier attempts holds.
  Trackers(const JobConfig& config, std::filesystem::path run_folder);
  ~Trackers();

  // News of RunFile::tell. An attempt that goes back to an earlier step makes the files begin anew, at most every
  // `kRewriteInterval` seconds and at the end, so that nothing of what was repeated stays.
  void take(const RunRecord& news);
  void end(int exit_code);

  static constexpr double kRewriteInterval = 10;

 private:
  struct Kept {
    std::string name, remedy;
    std::function<std::unique_ptr<Tracker>(const TrackedRun&)> begin;
    std::unique_ptr<Tracker> tracker = nullptr;  // not begun, or failed
    bool failed = false;
  };
  // Does something with each tracker that works.
  void each(const std::function<void(Kept&)>& action);
  void begin_anew();
  bool repeats(const RunRecord& news);  // a step that was given out before

  JobConfig config_;
  std::filesystem::path folder_;
  std::vector<Kept> kept_;
  std::map<std::string, std::int64_t> last_steps_;  // of the metrics that were given out
  RunRecord known_;                                 // attempts and results, which other records need
  bool stale_ = false;                              // the files hold steps that were repeated since
  double begun_ = 0;                                // when the files were
};

}  // namespace tercet
