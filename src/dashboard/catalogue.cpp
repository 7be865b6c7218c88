#include "dashboard/catalogue.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/report/status.hpp"

namespace tercet::dashboard {
namespace fs = std::filesystem;
namespace {

constexpr auto kBetweenListings = std::chrono::seconds(1);
constexpr std::size_t kMostWatched = 64;  // runs under way that are followed; others are read anew when they change
constexpr std::size_t kMostOpened = 6;    // of which everything is kept

bool is_under_way(const RunSummary& run) {
  return run.state == "running" && !(run.silent_s && *run.silent_s > kDefaultHangTimeout);
}

// A run that was not looked at again has become older.
RunSummary aged(const RunSummary& run, double seconds) {
  RunSummary now = run;
  if (run.state != "running") return now;
  if (now.seconds) *now.seconds += seconds;
  if (now.silent_s) *now.silent_s += seconds;
  return now;
}

}  // namespace

Catalogue::Catalogue(fs::path folder) : folder_(std::move(folder)) {
  if (!fs::is_directory(folder_))
    throw StoreError("'" + folder_.string() + "' is no folder", "", "give a folder of runs");
}

std::shared_ptr<const Listing> Catalogue::listing(std::chrono::milliseconds budget) {
  const std::lock_guard lock(mutex_);
  const bool fresh = listing_ && Clock::now() - listed_ < kBetweenListings;
  if (!fresh || listing_->unread > 0) list_again(budget);
  return listing_;
}

void Catalogue::list_again(std::chrono::milliseconds budget) {
  const Clock::time_point deadline = Clock::now() + budget;
  const Found found = find_below(folder_);
  forget_removed(found.runs);
  auto listing = std::make_shared<Listing>();
  listing->folder = folder_;
  listing->families = found.families;
  listing->complete = found.complete;
  for (const std::string& path : found.runs) {
    Entry& entry = entries_[path];
    entry.run.path = path;
    const fs::path folder = path == "." ? folder_ : folder_ / path;
    entry.run.summary.folder = folder;
    const Stamp stamp = stamp_of(folder);
    if (!entry.run.read || stamp != entry.stamp) {
      if (Clock::now() < deadline) {
        entry.stamp = stamp;
        look_at(entry);
      } else if (!entry.run.read) {
        ++listing->unread;
        entry.run.summary.name = folder.filename().string();
      }
    }
    listing->runs.push_back(entry.run);
    if (entry.run.read) listing->runs.back().summary = aged(entry.run.summary, unix_time() - entry.looked);
  }
  std::stable_sort(listing->runs.begin(), listing->runs.end(),
                   [](const ListedRun& a, const ListedRun& b) { return a.summary.started > b.summary.started; });
  listing_ = listing;
  listed_ = Clock::now();
}

void Catalogue::look_at(Entry& entry) {
  const fs::path folder = entry.run.summary.folder;
  const bool was_watched = entry.watcher != nullptr;
  entry.run.read = true;
  entry.looked = unix_time();
  entry.run.work = {};
  try {
    if (const std::string reason = why_not_read(folder); !reason.empty()) throw StoreError(reason);
    if (!entry.watcher) entry.watcher = std::make_unique<RunWatcher>(folder, kSummaryBounds, true);
    const Glance& glance = entry.watcher->look();
    entry.run.summary = summary_of(glance);
    if (!glance.over()) entry.run.work = work_under_way(glance);
  } catch (const std::exception& error) {  // what a stranger's folder holds is no reason to end
    entry.run.summary = unreadable_run(folder, error.what());
  }
  const bool room = was_watched || watched_ < kMostWatched;
  if (!is_under_way(entry.run.summary) || !room) entry.watcher.reset();
  watched_ = watched_ + (entry.watcher ? 1 : 0) - (was_watched ? 1 : 0);
}

void Catalogue::forget_removed(const std::vector<std::string>& paths) {
  const std::set<std::string> there(paths.begin(), paths.end());
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const bool gone = !there.contains(entry->first);
    if (gone && entry->second.watcher) --watched_;
    entry = gone ? entries_.erase(entry) : std::next(entry);
  }
  std::erase_if(opened_, [&](const auto& run) { return !there.contains(run.first); });
}

std::shared_ptr<FollowedRun> Catalogue::open(const std::string& path) {
  listing();
  const std::lock_guard lock(mutex_);
  if (!entries_.contains(path)) return nullptr;
  const auto known = std::find_if(opened_.begin(), opened_.end(), [&](const auto& run) { return run.first == path; });
  if (known != opened_.end()) {
    opened_.splice(opened_.begin(), opened_, known);
    return opened_.front().second;
  }
  const fs::path folder = path == "." ? folder_ : folder_ / path;
  opened_.emplace_front(path, std::make_shared<FollowedRun>(folder, path));
  if (opened_.size() > kMostOpened) opened_.pop_back();
  return opened_.front().second;
}

}  // namespace tercet::dashboard
