#include "family_element.hpp"

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

#include "family_publication.hpp"
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

ElementFigures figures_of_run(const fs::path& run) {
  const RunRecord record = load_run(run);
  if (!record.provenance.contains(kResultsKey)) {
    throw StoreError("'" + run.string() + "' holds no final results");
  }
  const RunResults results = results_from_json(record.provenance.at(kResultsKey));
  return {results.before.perplexity, results.packed.perplexity, results.packed.accuracy,
          results.ratio(results.baseline), results.packed_bytes};
}

ElementRun::ElementRun(const FamilyConfig& family, const FamilyElement& element, const FamilyFolders& folders)
    : family_(family), element_(element), folders_(folders) {}

void ElementRun::open() {
  if (lock_) return;
  make_folder(folders_.elements(), "check `output`");
  take_lock();
  state_ = read_element_state(folders_.state(element_.name));
  if (has_verdict(state_)) return;
  JobConfig job = element_.config;
  job.output = run().string();
  write_file_atomically(config(), to_yaml(job));
  close_unfinished_attempt(state_, progress_mark(run()));
  if (const auto verdict = run_verdict()) conclude(*verdict);
}

// A summary that looks whether the element is locked holds the lock for a moment; that is not yet another driver.
void ElementRun::take_lock() {
  constexpr int kTries = 10;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (auto lock = FileLock::try_take(folders_.lock(element_.name))) {
      lock_.emplace(std::move(*lock));
      return;
    }
  }
  throw StoreError("element '" + element_.name + "' is in use", "another `tercet family` works on it",
                   "wait for it; this night can be started again at any time");
}

bool ElementRun::may_start() {
  if (has_verdict(state_) || state_.state == "given_up") return false;
  const std::string why = why_given_up(state_.attempts, family_.limits);
  if (why.empty()) return true;
  give_up(why);
  return false;
}

void ElementRun::give_up(const std::string& why) {
  const std::string last = state_.attempts.empty() ? "" : state_.attempts.back().reason;
  state_.state = "given_up";
  state_.reason = why + (last.empty() ? "" : ": " + last);
  save();
  remember(state_.reason);
}

bool ElementRun::run_is_locked() const {
  const fs::path lock = run() / ".lock";
  return fs::exists(lock) && !FileLock::try_take(lock);
}

void ElementRun::begin_attempt() {
  ElementAttempt attempt;
  attempt.started = unix_time();
  attempt.mark = progress_mark(run());
  state_.attempts.push_back(attempt);
  state_.state = "running";
  state_.reason.clear();
  attempt_open_ = true;
  save();
  log_begin_ = fs::exists(log()) ? fs::file_size(log()) : 0;
  status_before_ = written_at(run() / "status.json");
}

void ElementRun::end_attempt(int exit_code, bool stop_requested) {
  ElementAttempt& attempt = state_.attempts.back();
  attempt.ended = unix_time();
  attempt.progressed = progress_mark(run()) != attempt.mark;
  const auto verdict = run_verdict();
  const bool stopped = exit_code == code(ExitCode::kStopped) || (stop_requested && exit_code > 128);
  if (verdict) {
    attempt.exit_code = code(*verdict == "passed" ? ExitCode::kPassed : ExitCode::kGateFailed);
    conclude(*verdict);
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
  if (state == "failed") remember(reason);
}

// A night without a verdict is part of the history too.
void ElementRun::remember(const std::string& reason) const {
  append_history(folders_.history(element_.name), {folders_.night, state_.state, reason, unix_time(), {}, ""});
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
  const fs::path status_file = run() / "status.json";
  if (written_at(status_file) != status_before_) {
    const auto status = read_status(run());
    if (status && status->value("state", "") == "failed") return status->value("sentence", "");
  }
  if (const std::string said = last_error(log(), log_begin_); !said.empty()) return said;
  if (exit_code > 128) {
    return "a rank was ended by signal " + std::to_string(exit_code - 128) + "; see " + log().string();
  }
  return "ended with status " + std::to_string(exit_code) + "; see " + log().string();
}

std::optional<std::string> ElementRun::run_verdict() const {
  if (fs::exists(run() / "artifacts")) return "passed";
  if (fs::exists(run() / "rejected")) return "gate_failed";
  return std::nullopt;
}

// From the verdict of the run to that of the element. Every step may have been done by a driver that was then killed:
// doing it again changes nothing.
void ElementRun::conclude(const std::string& verdict) {
  HistoryEntry entry{folders_.night, verdict, "", unix_time(), figures_of_run(run()), ""};
  if (verdict == "passed") {
    judge_against_history(entry);
  } else {
    entry.reason = failed_gates(run());
  }
  if (entry.state == "passed") {
    publish(entry);
  } else {
    append_history(folders_.history(element_.name), entry);
  }
  state_.state = entry.state;
  state_.reason = entry.reason;
  state_.published = entry.published;
  save();
}

void ElementRun::judge_against_history(HistoryEntry& entry) {
  const auto accepted = last_accepted(read_history(folders_.history(element_.name)), folders_.night);
  state_.regression = judge_regression(family_.regression, accepted ? accepted->night : "",
                                       accepted ? std::optional(accepted->figures) : std::nullopt, entry.figures);
  if (state_.regression->passed) return;
  entry.state = "regressed";
  entry.reason = state_.regression->sentence;
}

void ElementRun::publish(HistoryEntry& entry) {
  const fs::path models = folders_.models(element_.name), history = folders_.history(element_.name);
  const fs::path artifacts = run() / "artifacts";
  const auto metadata = nlohmann::json::parse(read_file(artifacts / "compression_metadata.json"), nullptr, false);
  entry.published = folders_.night + "-" + inputs_fingerprint(metadata);
  publish_artifacts(artifacts, models, entry.published);
  append_history(history, entry);
  point_latest(models, entry.published);
  std::vector<std::string> published;
  for (const HistoryEntry& known : read_history(history)) {
    if (known.accepted()) published.push_back(known.published);
  }
  retire_publications(models, published, static_cast<std::size_t>(family_.keep));
}

void ElementRun::save() const {
  write_element_state(folders_.state(element_.name), state_);
}

}  // namespace tercet::job
