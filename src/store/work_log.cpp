#include "tercet/store/work_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <system_error>

#include "store/work_records.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMerged = "merged.log";
constexpr const char* kMerging = "merging.tmp";

StoreError work_error(const std::string& what, const fs::path& path, const std::string& reason) {
  return StoreError("cannot " + what + " '" + path.string() + "'", reason, "free some space or check permissions");
}

fs::path rank_file(const fs::path& folder, int rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%06d.log", rank);
  return folder / name;
}

// A file that only grows. Throws StoreError.
class Appender {
 public:
  Appender(fs::path path, int flags)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644)) {
    if (descriptor_ < 0) throw work_error("write", path_, std::strerror(errno));
  }
  ~Appender() { ::close(descriptor_); }
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw work_error("write", path_, std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  fs::path path_;
  int descriptor_;
};

std::vector<fs::path> log_files(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".log") files.insert(entry.path());
  }
  return {files.begin(), files.end()};
}

// Rank 0: one file of all whole records. Whatever moment this ends at, no record is lost.
void merge(const fs::path& folder, const std::string& identity) {
  fs::create_directories(folder);
  const std::vector<fs::path> files = log_files(folder);
  if (files.empty()) return;
  {
    Appender merged(folder / kMerging, O_TRUNC);
    merged.write(store::work_header(identity));
    std::set<std::string, std::less<>> known;
    for (const fs::path& path : files) {
      const MappedFile file(path);
      const bool whole = store::read_work_records(file.text(), identity, [&](auto key, auto payload) {
        if (known.emplace(key).second) merged.write(store::work_record(key, payload));
      });
      if (!whole)
        log::warn("'" + path.string() + "' is damaged, unfinished or of another job: what it lacks is done again");
    }
  }
  fs::rename(folder / kMerging, folder / kMerged);
  for (const fs::path& path : files) {
    if (path.filename() != kMerged) fs::remove(path);
  }
}

}  // namespace

struct WorkLog::State {
  std::optional<MappedFile> merged;
  std::map<std::string, std::string_view, std::less<>> known;  // views into `merged`
  std::unique_ptr<Appender> mine;
};

WorkLog::WorkLog(Communicator& comm, const fs::path& folder, const std::string& identity)
    : state_(std::make_unique<State>()) {
  on_root(comm, [&] {
    try {
      merge(folder, identity);
    } catch (const fs::filesystem_error& error) {
      throw work_error("use the work log in", folder, error.code().message());
    }
    return std::string();
  });
  on_every_rank(comm, [&] {
    if (fs::exists(folder / kMerged)) {
      state_->merged.emplace(folder / kMerged);
      store::read_work_records(state_->merged->text(), identity,
                               [&](auto key, auto payload) { state_->known.emplace(key, payload); });
    }
    state_->mine = std::make_unique<Appender>(rank_file(folder, comm.rank()), O_TRUNC);
    state_->mine->write(store::work_header(identity));
  });
}

WorkLog::~WorkLog() = default;

std::optional<std::string_view> WorkLog::find(const std::string& key) const {
  const auto found = state_->known.find(key);
  return found == state_->known.end() ? std::nullopt : std::optional(found->second);
}

std::size_t WorkLog::size() const {
  return state_->known.size();
}

WorkRecords::WorkRecords(const fs::path& folder, const std::string& identity) {
  try {
    for (const fs::path& path : log_files(folder)) {
      files_.emplace_back(path);
      store::read_work_records(files_.back().text(), identity,
                               [&](auto key, auto payload) { known_.emplace(key, payload); });
    }
  } catch (const fs::filesystem_error& error) {
    throw work_error("read the work log in", folder, error.code().message());
  }
}

std::optional<std::string_view> WorkRecords::find(const std::string& key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

void WorkLog::add(const std::string& key, std::string_view payload) {
  if (key.size() > store::kLargestKey) throw StoreError("the key of a unit of work is too long", key.substr(0, 80));
  state_->mine->write(store::work_record(key, payload));
}

}  // namespace tercet
