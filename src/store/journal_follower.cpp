#include "tercet/store/journal_follower.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "store/journal.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::size_t kLongestLine = std::size_t{16} << 20;

StoreError cannot_read(const std::filesystem::path& path, const std::string& reason) {
  return StoreError("cannot read '" + path.string() + "'", reason);
}

}  // namespace

JournalFollower::JournalFollower(std::filesystem::path journal) : JournalFollower(std::move(journal), Bounds()) {}

JournalFollower::JournalFollower(std::filesystem::path journal, Bounds bounds)
    : path_(std::move(journal)), bounds_(bounds) {}

RunRecord JournalFollower::read() {
  const Descriptor file(path_, O_RDONLY | O_NONBLOCK);  // a pipe would be waited for
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) throw cannot_read(path_, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) throw cannot_read(path_, "it is not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  began_anew_ = position_ == 0 || size < position_ || status.st_ino != file_;
  file_ = status.st_ino;
  if (began_anew_) {
    position_ = read_ = skipped_ = damaged_ = 0;
    passing_over_ = false;
  }
  RunRecord run;
  if (size - position_ > bounds_.head + bounds_.tail) {
    take(position_, position_ + bounds_.head, file.get(), run);
    const std::uint64_t tail = size - bounds_.tail;
    skipped_ += tail - position_;
    position_ = tail;
    line_.clear();
    passing_over_ = true;
  }
  take(position_, size, file.get(), run);
  // A line that is not finished is read again: a job that starts again cuts it off, and writes another in its place.
  position_ -= line_.size();
  line_.clear();
  return run;
}

void JournalFollower::take(std::uint64_t begin, std::uint64_t end, int file, RunRecord& run) {
  std::vector<char> chunk(kChunk);
  position_ = begin;
  while (position_ < end) {
    heartbeat::beat();
    const ssize_t got =
        ::pread(file, chunk.data(), std::min<std::uint64_t>(kChunk, end - position_), static_cast<off_t>(position_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw cannot_read(path_, std::strerror(errno));
    if (got == 0) return;  // it became shorter meanwhile
    position_ += static_cast<std::uint64_t>(got);
    read_ += static_cast<std::uint64_t>(got);
    std::string_view rest(chunk.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const std::size_t newline = rest.find('\n');
      if (!passing_over_) line_.append(rest.substr(0, newline));
      if (line_.size() > kLongestLine) {
        line_.clear();
        passing_over_ = true;
        ++damaged_;
      }
      if (newline == std::string_view::npos) break;
      rest.remove_prefix(newline + 1);
      take_line(run);
    }
  }
}

void JournalFollower::take_line(RunRecord& run) {
  if (std::exchange(passing_over_, false)) return;
  try {
    store::apply_line(run, parse_json_object(line_, "a line of the journal"));
  } catch (const DataError&) {
    ++damaged_;
  } catch (const nlohmann::json::exception&) {
    ++damaged_;
  }
  run.metrics.resize(run.wall_times.size());  // of a damaged one, half may be there
  line_.clear();
}

}  // namespace tercet
