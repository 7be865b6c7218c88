#include "watched_run.hpp"

#include <chrono>
#include <string>
#include <system_error>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/heartbeat_file.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds kInterval{5};
constexpr std::chrono::seconds kLate{1};

void say_how_the_last_attempt_ended(const fs::path& folder) {
  const auto last = read_heartbeat(folder);
  if (!last) return;
  log::warn("the last attempt was killed or hung; at " + iso_time(last->time) + " its ranks were here:\n" +
            table_of(last->ranks));
}

// By the watchdog of another rank, which wrote down where the ranks were. A rank that was stopped and is woken up to be
// killed may still come to its orderly end.
bool was_ended_for_it(const fs::path& folder) noexcept {
  try {
    const auto status = read_status(folder);
    return status && status->value("stop_reason", "") == "hang";
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

WatchedRun::WatchedRun(Watchdog& watchdog, fs::path run_folder) : watchdog_(watchdog), folder_(std::move(run_folder)) {
  if (watchdog_.keeps_watch()) say_how_the_last_attempt_ended(folder_);
  // Stays when this object goes: a rank that fails alone is leaving when the job is ended.
  watchdog_.before_the_end([folder = folder_](const Ending& ending) { record_ending(folder, ending); });
  thread_ = std::thread([this] { run(); });
}

WatchedRun::~WatchedRun() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  std::error_code ignored;
  if (watchdog_.keeps_watch() && !was_ended_for_it(folder_)) fs::remove(folder_ / "heartbeat.json", ignored);
}

void WatchedRun::run() {
  heartbeat::mute_this_thread();
  std::unique_lock lock(mutex_);
  // A rank that was stopped and is woken up to be killed must not write over the report of the one that ended the job.
  bool was_stopped = false;
  while (!stopping_) {
    lock.unlock();
    if (!was_stopped) write();
    const auto begin = std::chrono::steady_clock::now();
    lock.lock();
    changed_.wait_for(lock, kInterval, [this] { return stopping_; });
    was_stopped = std::chrono::steady_clock::now() - begin > kInterval + kLate;
  }
}

// A file that cannot be written is no reason to end the job: whoever needs the disk will say so.
void WatchedRun::write() noexcept {
  try {
    if (watchdog_.keeps_watch()) write_heartbeat(folder_, {unix_time(), watchdog_.ranks()});
  } catch (const std::exception&) {
  }
}

}  // namespace tercet::job
