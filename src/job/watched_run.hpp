// The run folder's part in watching over a job: heartbeat.json while the job runs, status.json when the watchdog ends
// it, and what the last attempt left when it did not end by itself.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "tercet/comm/watchdog.hpp"

namespace tercet::job {

class WatchedRun {
 public:
  // On every rank, once the folder belongs to this job. Says where the ranks of an attempt were that was killed.
  WatchedRun(Watchdog& watchdog, std::filesystem::path run_folder);
  ~WatchedRun();  // removes heartbeat.json
  WatchedRun(const WatchedRun&) = delete;
  WatchedRun& operator=(const WatchedRun&) = delete;

 private:
  void run();
  void write() noexcept;

  Watchdog& watchdog_;
  std::filesystem::path folder_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;  // its own: a file system that hangs must not keep the watchdog from its work
};

}  // namespace tercet::job
