// One element: its lock, its configuration, its attempts. What follows from a run that has its verdict is for the
// driver that derives from this to say.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "element_process.hpp"
#include "element_state.hpp"
#include "tercet/config/element_config.hpp"

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
// Whether a driver, of this process or another, works on the element with this lock.
bool is_locked(const std::filesystem::path& lock);

struct ElementFiles {
  std::filesystem::path run;  // folder of the job
  std::filesystem::path config, state, lock, log;
};

class ElementRun {
 public:
  ElementRun(const Element& element, const LimitsSection& limits, ElementFiles files);
  virtual ~ElementRun() = default;
  ElementRun(const ElementRun&) = delete;
  ElementRun& operator=(const ElementRun&) = delete;

  const Element& element() const { return element_; }
  const ElementFiles& files() const { return files_; }
  const ElementState& state() const { return state_; }

  // Once: takes the element's lock, reads its state, writes its configuration, and finishes what an earlier driver
  // left: an attempt that was not ended, a verdict that was not concluded from. Throws StoreError, also when another
  // driver has the element.
  void open();

  // Whether another attempt may start; if not for good, the state says so.
  bool may_start();
  bool run_is_locked() const;  // ranks of an earlier driver are still ending

  void begin_attempt();  // writes it down
  void end_attempt(int exit_code, bool stop_requested);
  // An attempt that could not be made, or whose end could not be dealt with. Nothing when the element is not ours.
  void fail(const std::string& reason, int exit_code);
  bool may_retry() const;  // after end_attempt: another attempt could end otherwise

 protected:
  // The job's configuration as it is run, its output included.
  JobConfig job() const;
  // What an earlier driver left, before anything is done with it. Throws when the run there cannot be gone on with.
  virtual void take_up(ElementState&) const {}
  // Of a run with the verdict "passed" or "gate_failed": state, reason and whatever else follows. May be called again
  // for what an earlier driver has done already.
  virtual void conclude(const std::string& verdict, ElementState& state) const;
  // An attempt, or the element, ended without a verdict.
  virtual void remember(const ElementState&) const {}

 private:
  void take_lock();
  std::optional<std::string> run_verdict() const;  // "passed", "gate_failed"; nullopt: none yet
  void take_verdict(const std::string& verdict);
  void give_up(const std::string& why);
  void ended_without_verdict(const std::string& state, const std::string& reason);
  std::string reason_of_end(int exit_code) const;
  void save() const;

  const Element& element_;
  const LimitsSection& limits_;
  ElementFiles files_;
  ElementState state_;
  std::optional<FileLock> lock_;
  bool attempt_open_ = false;
  std::uintmax_t log_begin_ = 0;  // of this attempt
  std::optional<std::filesystem::file_time_type> status_before_;
};

}  // namespace tercet::job
