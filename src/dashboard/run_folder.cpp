#include "dashboard/run_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/report/glance.hpp"

namespace tercet::dashboard {
namespace fs = std::filesystem;
namespace {

constexpr int kDeepest = 6;
constexpr std::size_t kMostFolders = 50'000, kMostRuns = 10'000;
constexpr std::array kFiles = {"status.json", "journal.jsonl", "heartbeat.json", "run.h5"};
constexpr off_t kLargestHeartbeat = off_t{8} << 20;  // some 20 000 ranks

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() == fs::file_type::directory;
}

bool is_family(const fs::path& folder) {
  return is_folder(folder / "nights") && (is_folder(folder / "history") || is_folder(folder / "runs"));
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->symlink_status(ignored).type() == fs::file_type::directory && names.size() < kMostFolders)
      names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Walk {
 public:
  explicit Walk(const fs::path& top) : top_(top) {}

  void at(const std::string& relative, int depth) {
    heartbeat::beat();
    const fs::path folder = relative.empty() ? top_ : top_ / relative;
    if (++visited_ > kMostFolders || found_.runs.size() >= kMostRuns) {
      found_.complete = false;
      return;
    }
    const std::string shown = relative.empty() ? "." : relative;
    if (is_run(folder)) return found_.runs.push_back(shown);  // inside a run there is no other
    const bool family = is_family(folder);
    if (family) found_.families.push_back(shown);
    if (depth == 0) return;
    for (const std::string& name : folders_in(folder)) {
      const bool without_runs = family && (name == "models" || name == "tokens" || name == "nights");
      if (!without_runs) at(relative.empty() ? name : relative + "/" + name, depth - 1);
    }
  }
  Found found() { return std::move(found_); }

 private:
  fs::path top_;
  Found found_;
  std::size_t visited_ = 0;
};

}  // namespace

Found find_below(const fs::path& folder) {
  Walk walk(folder);
  walk.at("", kDeepest);
  return walk.found();
}

std::string why_not_read(const fs::path& run) {
  for (const char* name : kFiles) {
    struct stat itself {
    }, target{};
    if (::lstat((run / name).c_str(), &itself) != 0) continue;
    if (S_ISLNK(itself.st_mode) && !stays_inside(run, name)) return std::string(name) + " is a link out of the run";
    if (::stat((run / name).c_str(), &target) != 0) continue;
    if (!S_ISREG(target.st_mode)) return std::string(name) + " is not a regular file";
    if (std::string(name) == "heartbeat.json" && target.st_size > kLargestHeartbeat)
      return std::string(name) + " is too large";
  }
  return "";
}

Stamp stamp_of(const fs::path& run) {
  Stamp stamp;
  std::size_t place = 0;
  for (const char* name : kFiles) {
    struct stat status {};
    if (::stat((run / name).c_str(), &status) == 0) {
      stamp.values[place] = static_cast<std::int64_t>(status.st_ino);
      stamp.values[place + 1] = status.st_size;
      stamp.values[place + 2] = status.st_mtim.tv_sec;
      stamp.values[place + 3] = status.st_mtim.tv_nsec;
    }
    place += 4;
  }
  return stamp;
}

std::string end_of_file(const fs::path& folder, const std::string& name, std::size_t bytes) {
  std::error_code ignored;
  if (!fs::exists(folder / name, ignored) || !stays_inside(folder, name)) return "";
  const Descriptor file(folder / name, O_RDONLY | O_NONBLOCK);
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return "";
  const off_t begin = std::max<off_t>(0, status.st_size - static_cast<off_t>(bytes));
  std::string text(bytes, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), begin);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t line = text.find('\n');
  if (begin > 0 && line != std::string::npos) text.erase(0, line + 1);  // it may have begun before
  return text;
}

}  // namespace tercet::dashboard
