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
  // `bounds`: how much of a long journal is read at first. Where there is none, run.h5 is read, which may take a minute
  // when it is damaged, unless `without_run_file`. Throws StoreError when the folder holds no run.
  explicit RunWatcher(std::filesystem::path run_folder, JournalFollower::Bounds bounds = {},
                      bool without_run_file = false);
  // Throws StoreError when the run cannot be read any more.
  const Glance& look();
  // What the last look found in the journal that was not there before; with `began_anew`: all of it.
  const RunRecord& news() const { return news_; }
  bool began_anew() const { return began_anew_; }
  const JournalFollower& journal() const { return journal_; }

 private:
  using Moves = std::deque<std::pair<double, double>>;  // (time, how far)
  void read_status_file();
  void take(const RunRecord& more);
  void take_metrics(const RunRecord& more);
  void take_provenance(const nlohmann::json& provenance);
  void judge_so_far();
  void measure_pace();

  void read_records();
  void forget_records();

  JournalFollower journal_;
  RunRecord news_;
  bool began_anew_ = false;
  bool reads_file_;  // run.h5, once, where there is no journal
  Glance glance_;
  std::optional<GatesSection> rules_;             // of the run's configuration
  std::map<std::string, std::size_t> bad_steps_;  // of each attempt
  std::string phase_;                             // whose progress is in moves_
  Moves moves_, steps_;                           // of the heartbeats, and of the steps of training
};

struct WorkUnderWay {
  std::string what;                    // "" when it is not known
  std::uint64_t done = 0, total = 0;   // a total of 0: not known
  std::optional<double> pace, left_s;  // units a second, seconds
};
WorkUnderWay work_under_way(const Glance& glance);
std::string state_in_words(const Glance& glance);                         // "running, attempt 2, for 16 min 15 s"
std::string gate_in_words(const Glance& glance, const GateRecord& gate);  // "pass so far"
std::string rank_in_words(const RankState& rank);                         // "waits in all-reduce"
std::vector<std::string> warnings_of(const Glance& glance);

// Stage, progress, rate, time left, figures, gates, ranks and warnings, in lines of at most `width` columns.
std::string picture(const Glance& glance, std::size_t width);
nlohmann::json to_json(const Glance& glance);

bool is_run(const std::filesystem::path& folder);

// One line of a table of runs.
struct RunSummary {
  std::filesystem::path folder;
  std::string name, state, sentence, started;
  std::optional<int> exit_code;
  std::optional<double> ratio, perplexity_before;
  std::optional<double> perplexity_after;  // of the model as it was measured last
  std::optional<double> seconds;           // that it took; of a run under way: until now
  std::optional<double> silent_s;
};
RunSummary summary_of(const Glance& glance);
RunSummary unreadable_run(const std::filesystem::path& folder, const std::string& reason);
std::string state_in_words(const RunSummary& run);  // "running, but silent"

// Of a journal the beginning has the original's figures, the end the results: enough for a summary.
inline constexpr JournalFollower::Bounds kSummaryBounds{std::uint64_t{256} << 10, std::uint64_t{512} << 10};

// Run folders at `folder` and below it, at most three levels down, the newest first. Links are not followed.
std::vector<RunSummary> runs_below(const std::filesystem::path& folder);
std::string runs_table(const std::filesystem::path& folder, const std::vector<RunSummary>& runs);
nlohmann::json runs_json(const std::vector<RunSummary>& runs);

}  // namespace tercet
