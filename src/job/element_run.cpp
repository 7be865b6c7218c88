#include "element_run.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/report.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

std::optional<fs::file_time_type> written_at(const fs::path& file) {
  std::error_code absent;
  const auto time = fs::last_write_time(file, absent);
  return absent ? std::nullopt : std::optional(time);
}

// Of a child that left no verdict: codes of the program as they are, anything else is an internal error.
int failure_code(int status) {
  constexpr std::array kKnown = {ExitCode::kUsage, ExitCode::kBadInput, ExitCode::kInternal, ExitCode::kIo};
  const bool known = std::find(kKnown.begin(), kKnown.end(), static_cast<ExitCode>(status)) != kKnown.end();
  return known ? status : code(ExitCode::kInternal);
}

// The last "error: ..." that the program said after `begin`.
std::string last_error(const fs::path& log, std::uintmax_t begin) {
  constexpr std::string_view kMark = "error: ";
  constexpr std::uintmax_t kTail = 65536;
  if (!fs::exists(log)) return "";
  const MappedFile file(log);
  const std::string_view text = file.text();
  std::string_view tail = text.substr(std::min<std::size_t>(text.size(), begin));
  if (tail.size() > kTail) tail = tail.substr(tail.size() - kTail);
  const std::size_t at = tail.rfind(kMark);
  if (at == std::string_view::npos) return "";
  const std::string_view line = tail.substr(at + kMark.size());
  return std::string(line.substr(0, line.find('\n')));
}

std::string failed_gates(const fs::path& run) {
  std::string text;
  for (const GateRecord& gate : load_run(run).gates) {
    if (gate.verdict == "fail" && gate.severity == "fail") text += (text.empty() ? "" : "; ") + gate.evidence;
  }
  return text.empty() ? "a gate failed" : text;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) throw StoreError("cannot write '" + file.string() + "'", std::strerror(errno), "check permissions");
  FileLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  return lock;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

bool is_locked(const fs::path& lock) {
  return fs::exists(lock) && !FileLock::try_take(lock);
}

ElementRun::ElementRun(const Element& element, const LimitsSection& limits, ElementFiles files)
    : element_(element), limits_(limits), files_(std::move(files)) {}

JobConfig ElementRun::job() const {
  JobConfig job = element_.config;
  job.output = files_.run.string();
  return job;
}

void ElementRun::open() {
  if (lock_) return;
  make_folder(files_.state.parent_path(), "check `output`");
  take_lock();
  state_ = read_element_state(files_.state);
  take_up(state_);
  if (has_verdict(state_)) return;
  write_file_atomically(files_.config, to_yaml(job()));
  close_unfinished_attempt(state_, progress_mark(files_.run));
  if (const auto verdict = run_verdict()) take_verdict(*verdict);
}

// A summary that looks whether the element is locked holds the lock for a moment; that is not yet another driver.
void ElementRun::take_lock() {
  constexpr int kTries = 10;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (auto lock = FileLock::try_take(files_.lock)) {
      lock_.emplace(std::move(*lock));
      return;
    }
  }
  throw StoreError("element '" + element_.name + "' is in use", "another tercet works on it",
                   "wait for it; the same command can be started again at any time");
}

bool ElementRun::may_start() {
  if (has_verdict(state_) || state_.state == "given_up") return false;
  const std::string why = why_given_up(state_.attempts, limits_);
  if (why.empty()) return true;
  give_up(why);
  return false;
}

void ElementRun::give_up(const std::string& why) {
  const std::string last = state_.attempts.empty() ? "" : state_.attempts.back().reason;
  state_.state = "given_up";
  state_.reason = why + (last.empty() ? "" : ": " + last);
  save();
  remember(state_);
}

bool ElementRun::run_is_locked() const {
  return is_locked(files_.run / ".lock");
}

void ElementRun::begin_attempt() {
  ElementAttempt attempt;
  attempt.started = unix_time();
  attempt.mark = progress_mark(files_.run);
  state_.attempts.push_back(attempt);
  state_.state = "running";
  state_.reason.clear();
  attempt_open_ = true;
  save();
  log_begin_ = fs::exists(files_.log) ? fs::file_size(files_.log) : 0;
  status_before_ = written_at(files_.run / "status.json");
}

void ElementRun::end_attempt(int exit_code, bool stop_requested) {
  ElementAttempt& attempt = state_.attempts.back();
  attempt.ended = unix_time();
  attempt.progressed = progress_mark(files_.run) != attempt.mark;
  const auto verdict = run_verdict();
  const bool stopped = exit_code == code(ExitCode::kStopped) || (stop_requested && exit_code > 128);
  if (verdict) {
    attempt.exit_code = code(*verdict == "passed" ? ExitCode::kPassed : ExitCode::kGateFailed);
    take_verdict(*verdict);
  } else if (stopped) {
    attempt.exit_code = code(ExitCode::kStopped);
    ended_without_verdict("stopped", "stopped on request");
  } else {
    attempt.exit_code = failure_code(exit_code);
    ended_without_verdict("failed", reason_of_end(exit_code));
  }
  attempt_open_ = false;
}

void ElementRun::ended_without_verdict(const std::string& state, const std::string& reason) {
  state_.attempts.back().reason = reason;
  state_.state = state;
  state_.reason = reason;
  save();
  if (state == "failed") remember(state_);
}

void ElementRun::fail(const std::string& reason, int exit_code) {
  if (!lock_) return;
  if (!attempt_open_) {
    state_.attempts.emplace_back();
    state_.attempts.back().started = unix_time();
  }
  attempt_open_ = false;
  state_.attempts.back().ended = unix_time();
  state_.attempts.back().exit_code = exit_code;
  ended_without_verdict("failed", reason);
}

// Configuration and input stay wrong however often one tries.
bool ElementRun::may_retry() const {
  if (state_.state != "failed") return false;
  const int last = state_.attempts.back().exit_code.value_or(code(ExitCode::kInternal));
  return last != code(ExitCode::kUsage) && last != code(ExitCode::kBadInput);
}

// What the program wrote down comes first: a launcher's status may be that of a neighbour that was killed.
std::string ElementRun::reason_of_end(int exit_code) const {
  const fs::path status_file = files_.run / "status.json";
  if (written_at(status_file) != status_before_) {
    const auto status = read_status(files_.run);
    if (status && status->value("state", "") == "failed") return status->value("sentence", "");
  }
  if (const std::string said = last_error(files_.log, log_begin_); !said.empty()) return said;
  if (exit_code > 128) {
    return "a rank was ended by signal " + std::to_string(exit_code - 128) + "; see " + files_.log.string();
  }
  return "ended with status " + std::to_string(exit_code) + "; see " + files_.log.string();
}

std::optional<std::string> ElementRun::run_verdict() const {
  if (fs::exists(files_.run / "artifacts")) return "passed";
  if (fs::exists(files_.run / "rejected")) return "gate_failed";
  return std::nullopt;
}

void ElementRun::take_verdict(const std::string& verdict) {
  conclude(verdict, state_);
  save();
}

void ElementRun::conclude(const std::string& verdict, ElementState& state) const {
  state.state = verdict;
  state.reason = verdict == "passed" ? "" : failed_gates(files_.run);
}

void ElementRun::save() const {
  write_element_state(files_.state, state_);
}

}  // namespace tercet::job
