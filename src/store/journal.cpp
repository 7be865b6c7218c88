#include "store/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet::store {
namespace fs = std::filesystem;
namespace {

StoreError journal_error(const std::string& what, const fs::path& path, const std::string& hint = "") {
  return StoreError("cannot " + what + " '" + path.string() + "'", std::strerror(errno), hint);
}

// Where the last complete line ends.
std::size_t complete_length(std::string_view text) {
  const std::size_t newline = text.rfind('\n');
  return newline == std::string_view::npos ? 0 : newline + 1;
}

}  // namespace

Journal::Journal(const fs::path& path)
    : path_(path), fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (fd_ < 0) throw journal_error("open", path, "check that the run folder exists and is writable");
  // Only a lock that somebody holds is refused: network file systems may have none at all.
  const bool taken = ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (taken) {
    ::close(fd_);
    throw StoreError("cannot write the run in '" + path.parent_path().string() + "'", "another process is writing it",
                     "wait for it, stop it, or choose another output folder");
  }
  try {
    cut_unfinished_line();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

void Journal::cut_unfinished_line() {
  const std::size_t keep = [this] {
    const MappedFile file(path_);
    return complete_length(file.text()) == file.bytes().size() ? std::string::npos : complete_length(file.text());
  }();
  if (keep == std::string::npos) return;
  if (::ftruncate(fd_, static_cast<off_t>(keep)) != 0) throw journal_error("truncate", path_);
}

void Journal::append(const nlohmann::json& line) {
  // One write call a line: with O_APPEND a line is there whole or, at a crash, cut at its end.
  const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const StoreError error = journal_error("write", path_, "check free space");
      // What did not fit must not spoil the line of a later call.
      if (::ftruncate(fd_, before) != 0) throw journal_error("write or truncate", path_);
      throw error;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Journal::sync() {
  if (::fsync(fd_) != 0) throw journal_error("fsync", path_);
}

void for_each_journal_line(const fs::path& path, const std::function<void(const nlohmann::json&)>& take) {
  const MappedFile file(path);
  std::string_view text = file.text().substr(0, complete_length(file.text()));
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const auto refuse = [&](const std::exception& error) {
      const std::string reason = "line " + std::to_string(number) + ": " + error.what();
      return StoreError("cannot read '" + path.string() + "'", reason, "remove that line to keep the others");
    };
    try {
      take(parse_json_object(text.substr(0, end), "a record"));
    } catch (const nlohmann::json::exception& error) {
      throw refuse(error);
    } catch (const DataError& error) {
      throw refuse(error);
    }
    text.remove_prefix(end + 1);
  }
}

}  // namespace tercet::store
