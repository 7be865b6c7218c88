// What can be said of a run at one moment without reading it whole: for `tercet watch` and `tercet runs`. Reads
// status.json, heartbeat.json and the journal; writes nothing.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tercet/config/job_config.hpp"
#include "tercet/report/heartbeat_file.hpp"
#include "tercet/report/results.hpp"
#include "tercet/store/journal_follower.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {

struct Glance {
  std::filesystem::path folder;
  std::string name;
  double time = 0;  // of the look, seconds since 1970
  // From status.json; "" and nullopt where it does not say.
  std::string state, sentence, stage, started, updated;
  std::optional<int> exit_code;
  std::optional<double> seconds;
  std::optional<Heartbeat> heartbeat;
  // From the journal, as far as it was read.
  std::map<std::string, MetricRecord> last;  // of each series
  std::vector<StageRecord> stages;           // finished ones of the last attempt
  std::vector<GateRecord> gates;             // as judged; before that as they would be judged now
  bool judged = false;
  std::optional<RunResults> results;
  int attempts = 0;
  std::size_t bad_steps = 0, fallbacks = 0;
  std::uint64_t damaged_lines = 0;
  std::optional<double> sparsity;  // of the ternary layers inside the blocks
  std::optional<double> pace;      // units of the work under way, a second; nullopt: it was not seen to move

  std::optional<double> value(const std::string& series) const;
  bool over() const;              // the run has ended, one way or another
  const RankState* root() const;  // the first rank that was heard of, or null
  // Seconds since the last sign of life of a run that says it is running; nullopt: it does not, or none was seen.
  std::optional<double> silent_s() const;
};

// Looks at one run again and again.
class RunWatcher {
 public:
  // `bounds`: how much of a long journal is read at first. Throws StoreError when the folder holds no run.
  explicit RunWatcher(std::filesystem::path run_folder, JournalFollower::Bounds bounds = {});
  // Throws StoreError when the run cannot be read any more.
  const Glance& look();

 private:
  using Moves = std::deque<std::pair<double, double>>;  // (time, how far)
  void read_status_file();
  void take(const RunRecord& more);
  void take_metrics(const RunRecord& more);
  void take_provenance(const nlohmann::json& provenance);
  void judge_so_far();
  void measure_pace();

  JournalFollower journal_;
  Glance glance_;
  std::optional<GatesSection> rules_;             // of the run's configuration
  std::map<std::string, std::size_t> bad_steps_;  // of each attempt
  std::string phase_;                             // whose progress is in moves_
  Moves moves_, steps_;                           // of the heartbeats, and of the steps of training
};

// Stage, progress, rate, time left, figures, gates, ranks and warnings, in lines of at most `width` columns.
std::string picture(const Glance& glance, std::size_t width);
nlohmann::json to_json(const Glance& glance);

// Run folders at `folder` and below it, at most three levels down, the newest first. Links are not followed.
std::vector<Glance> glances_below(const std::filesystem::path& folder);
std::string runs_table(const std::filesystem::path& folder, const std::vector<Glance>& runs);
nlohmann::json runs_json(const std::vector<Glance>& runs);

}  // namespace tercet
