// One element of a family in one night: its lock, its attempts, and what follows from a run that has its verdict.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "family_folders.hpp"
#include "family_history.hpp"
#include "family_process.hpp"
#include "family_state.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet::job {

// An exclusive lock on a file, released with the object or its process. Move-only.
class FileLock {
 public:
  // nullopt: another process holds it. Throws StoreError when the file cannot be made.
  static std::optional<FileLock> try_take(const std::filesystem::path& file);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

class ElementRun {
 public:
  ElementRun(const FamilyConfig& family, const FamilyElement& element, const FamilyFolders& folders);

  const FamilyElement& element() const { return element_; }
  const ElementState& state() const { return state_; }

  // Once: takes the element's lock, reads its state, writes its configuration, and finishes what an earlier driver
  // left: an attempt that was not ended, a verdict that was not judged against history or published. Throws StoreError,
  // also when another driver has the element.
  void open();

  // Whether another attempt may start; if not for good, the state says so.
  bool may_start();
  bool run_is_locked() const;  // ranks of an earlier driver are still ending

  void begin_attempt();  // writes it down
  void end_attempt(int exit_code, bool stop_requested);
  // An attempt that could not be made, or whose end could not be dealt with. Nothing when the element is not ours.
  void fail(const std::string& reason, int exit_code);
  bool may_retry() const;  // after end_attempt: another attempt could end otherwise

  std::filesystem::path config() const { return folders_.config(element_.name); }
  std::filesystem::path log() const { return folders_.log(element_.name); }

 private:
  void take_lock();
  std::filesystem::path run() const { return folders_.run(element_.name); }
  std::optional<std::string> run_verdict() const;  // "passed", "gate_failed"; nullopt: none yet
  void conclude(const std::string& verdict);
  void judge_against_history(HistoryEntry& entry);
  void publish(HistoryEntry& entry);
  void give_up(const std::string& why);
  void ended_without_verdict(const std::string& state, const std::string& reason);
  void remember(const std::string& reason) const;
  std::string reason_of_end(int exit_code) const;
  void save() const;

  const FamilyConfig& family_;
  const FamilyElement& element_;
  const FamilyFolders& folders_;
  ElementState state_;
  std::optional<FileLock> lock_;
  bool attempt_open_ = false;
  std::uintmax_t log_begin_ = 0;  // of this attempt
  std::optional<std::filesystem::file_time_type> status_before_;
};

// The figures that a finished run ended with. Throws StoreError.
ElementFigures figures_of_run(const std::filesystem::path& run);

}  // namespace tercet::job
