// One run as its pages show it: all that its journal says so far, kept up with as it grows. Within bounds: of a long
// journal the beginning and the end.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "dashboard/records.hpp"
#include "dashboard/run_folder.hpp"
#include "tercet/report/glance.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet::dashboard {

struct RunLook {     // one moment of a run
  std::string path;  // below the folder of runs
  Glance glance;
  RunView view;
  std::uint64_t skipped_bytes = 0;  // of the journal
  std::string log;                  // the last lines of rank 0's
};

class FollowedRun {
 public:
  FollowedRun(std::filesystem::path folder, std::string path);

  // What there is now; read at most twice a second. For any thread. Throws StoreError when the run cannot be read.
  std::shared_ptr<const RunLook> look();

 private:
  using Clock = std::chrono::steady_clock;
  std::shared_ptr<const RunLook> look_now();

  const std::filesystem::path folder_;
  const std::string path_;
  std::mutex mutex_;
  std::optional<RunWatcher> watcher_;  // once it was looked at
  Records records_;
  std::shared_ptr<const RunLook> last_;
  Clock::time_point looked_;
  Stamp stamp_;
};

}  // namespace tercet::dashboard
