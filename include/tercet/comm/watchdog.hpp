// Ends the job when it hangs. Each rank has a thread that sees whether its own main thread gives signs of life
// (tercet/base/heartbeat.hpp) and tells one rank, which keeps watch over all: rank 0, or when nothing is heard of it, a
// higher one. The keeper ends the job, with one report of where each rank was, when for `timeout` seconds
//   - a rank was not heard of (it is stopped, or its machine is gone),
//   - or a rank gave no sign of life and does not wait for others (it sleeps, spins, or is blocked),
//   - or every rank waited in a collective call (they wait for each other).
// A rank that waits is never at fault by itself, however long: rank 0 may work for hours while the others wait, if it
// beats. Durations are counted by each rank while it runs, so a job that is suspended as a whole and continued lives.
//
// Whoever ends the job tells the others, and they leave the report to it; should it not come to an end within a minute,
// they watch on.
//
// The threads talk by MPI, since a file system may be what hangs. Should the thread itself hang, or the report, or
// MPI's start or end, another thread that only counts ends the process.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/comm/communicator.hpp"

namespace tercet {

inline constexpr double kDefaultHangTimeout = 600.0;  // seconds

// What is known of one rank.
struct RankState {
  int rank = 0;
  bool known = false;  // heard of at all; otherwise only `rank` and `silent_s` mean something
  std::string host;
  int pid = 0;
  heartbeat::Place place;
  double idle_s = 0;      // since its last sign of life, when it was heard of
  double silent_s = 0;    // since it was last heard of
  char thread_state = 0;  // of its main thread as the kernel says: R runs, S sleeps, D waits for a disk; 0: not known
  std::uint64_t memory_bytes = 0;
  bool ends_job = false;  // it has seen a hang or an error and is ending the job
};

// Why the job is ended.
struct Ending {
  ExitCode code = ExitCode::kInternal;
  std::string sentence;          // names the ranks
  std::vector<RankState> ranks;  // where each was
};

std::string table_of(const std::vector<RankState>& ranks);  // one row a rank, for people

class Watchdog {
 public:
  // Collective. The calling thread is the one that is watched.
  explicit Watchdog(Communicator& control);
  // Collective, unless the job is being left by an exception.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void set_timeout(double seconds);

  // Called once, by the watchdog's thread, on the rank that ends the job, before it does. A few seconds are left then.
  void before_the_end(std::function<void(const Ending&)> call);  // {}: nothing

  bool keeps_watch() const;              // does this rank keep watch over all now?
  std::vector<RankState> ranks() const;  // what this rank knows; of all when it keeps watch

  // While alive and `failure` is set: this rank has failed and wants to agree with the others on its error. If it is
  // not destroyed within five seconds, since they wait in some collective call, the error is said with this rank's
  // number and the job ended with its exit code. Without a failure it does nothing.
  class Ultimatum {
   public:
    Ultimatum(Watchdog& watchdog, const std::exception_ptr& failure);
    ~Ultimatum();
    Ultimatum(const Ultimatum&) = delete;
    Ultimatum& operator=(const Ultimatum&) = delete;

   private:
    Watchdog* watchdog_;  // null: nothing to do
  };

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tercet
