#include "dashboard/followed_run.hpp"

#include <utility>

#include "tercet/base/error.hpp"

namespace tercet::dashboard {
namespace {

constexpr auto kBetweenLooks = std::chrono::milliseconds(500);
constexpr std::uint64_t kMostRead = std::uint64_t{24} << 20;  // of a journal; then only its beginning and end are kept
constexpr std::size_t kLogBytes = std::size_t{4} << 10;

// Results of the wrong shape are of a damaged journal; the other figures are still worth showing.
RunView view_of(const std::filesystem::path& folder, RunRecord record) {
  try {
    return view_run(folder, record);
  } catch (const StoreError&) {
    record.provenance.erase(kResultsKey);
    return view_run(folder, std::move(record));
  }
}

}  // namespace

FollowedRun::FollowedRun(std::filesystem::path folder, std::string path)
    : folder_(std::move(folder)), path_(std::move(path)) {}

std::shared_ptr<const RunLook> FollowedRun::look() {
  const std::lock_guard lock(mutex_);
  if (last_ && Clock::now() - looked_ < kBetweenLooks) return last_;
  looked_ = Clock::now();
  const Stamp stamp = stamp_of(folder_);
  if (last_ && last_->glance.over() && stamp == stamp_) return last_;
  last_ = look_now();
  stamp_ = stamp;
  return last_;
}

std::shared_ptr<const RunLook> FollowedRun::look_now() {
  if (const std::string reason = why_not_read(folder_); !reason.empty()) {
    throw StoreError("'" + path_ + "' is not read", reason);
  }
  if (!watcher_ || watcher_->journal().read_bytes() > kMostRead) watcher_.emplace(folder_);
  auto look = std::make_shared<RunLook>();
  look->path = path_;
  look->glance = watcher_->look();
  if (watcher_->began_anew()) records_.clear();
  records_.take(watcher_->news());
  look->view = view_of(folder_, records_.ordered());
  look->skipped_bytes = watcher_->journal().skipped_bytes();
  look->log = end_of_file(folder_, "log/rank-0000.log", kLogBytes);
  return look;
}

}  // namespace tercet::dashboard
