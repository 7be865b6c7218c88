// Every run under a folder, looked at again only where its files changed.
#pragma once

#include <chrono>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dashboard/followed_run.hpp"
#include "dashboard/run_folder.hpp"
#include "tercet/report/glance.hpp"

namespace tercet::dashboard {

struct ListedRun {
  std::string path;  // below the folder; "." for itself
  RunSummary summary;
  WorkUnderWay work;
  bool read = false;  // false: there was no time yet
};

struct Listing {
  std::filesystem::path folder;
  std::vector<ListedRun> runs;  // the newest first
  std::vector<std::string> families;
  std::size_t unread = 0;
  bool complete = true;  // false: there is more than is looked at
};

// For any thread.
class Catalogue {
 public:
  explicit Catalogue(std::filesystem::path folder);  // throws StoreError when it is none

  // What is there now; looked at once a second at most. What takes longer than `budget` to read stays unread this time.
  std::shared_ptr<const Listing> listing(std::chrono::milliseconds budget = std::chrono::milliseconds(40));

  // One of those runs, all of it; null when there is no run of that path: it is looked up, never opened as a path.
  std::shared_ptr<FollowedRun> open(const std::string& path);

  const std::filesystem::path& folder() const { return folder_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    Stamp stamp;
    ListedRun run;
    double looked = 0;                    // seconds since 1970
    std::unique_ptr<RunWatcher> watcher;  // of a run under way
  };
  void list_again(std::chrono::milliseconds budget);
  void look_at(Entry& entry);
  void forget_removed(const std::vector<std::string>& paths);

  const std::filesystem::path folder_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::size_t watched_ = 0;
  std::shared_ptr<const Listing> listing_;
  Clock::time_point listed_;
  std::list<std::pair<std::string, std::shared_ptr<FollowedRun>>> opened_;  // the latest first
};

}  // namespace tercet::dashboard
