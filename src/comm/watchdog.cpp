#include "tercet/comm/watchdog.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "comm/last_resort.hpp"
#include "comm/mailbox.hpp"
#include "comm/watch.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/comm/mpi_handle.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kAgreementPatience = 5;  // seconds, for the others to hear of this rank's failure
constexpr double kRecordPatience = 5;     // for what is called before the end
constexpr double kLastWords = 15;         // from the decision to end the job to the end of this process
constexpr double kClosePatience = 60;     // for the other watchdogs to close too

// "R", "S" or "D", as the kernel says in /proc/self/task/N/stat: "N (name) S ..."; the name may hold anything.
char kernel_state(long thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t end = text.rfind(')');
  return end != std::string::npos && end + 2 < text.size() ? text[end + 2] : '\0';
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Ending ending_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return {error.exit_code(), error.what(), {}};
  } catch (const std::exception& error) {
    return {ExitCode::kInternal, error.what(), {}};
  } catch (...) {
    return {ExitCode::kInternal, "an exception that is not a std::exception", {}};
  }
}

// In a thread of its own: it writes files, and a file system may be what hangs.
void call_with_patience(const std::function<void(const Ending&)>& call, const Ending& ending) {
  if (!call) return;
  try {
    auto task = std::make_shared<std::packaged_task<void()>>([call, ending] { call(ending); });
    std::future<void> done = task->get_future();
    std::thread([task] { (*task)(); }).detach();
    done.wait_for(std::chrono::duration<double>(kRecordPatience));  // what it threw is of no interest any more
  } catch (const std::system_error&) {  // no thread is to be had: the report on the console must do
  }
}

}  // namespace

struct Watchdog::State {
  explicit State(Communicator& communicator)
      : control(communicator), watch(control.rank(), control.size()), name("rank " + std::to_string(control.rank())) {
    self.rank = control.rank();
    self.known = true;
    self.host = host_name();
    self.pid = getpid();
    self.place = heartbeat::place();
    keeps = watch.keeps();
    seen = watch.ranks();
    if (control.size() > 1) mailbox.emplace(mpi_handle(control), comm::encoded_size());
  }

  // How often the ranks look and talk. At many ranks less often: the keeper hears all of them.
  double cadence() const { return std::clamp(timeout_s / 20, 0.05, 1.0 + control.size() / 256.0); }

  void run();
  void tick(double passed);
  void look_at_self(double passed);
  void exchange();
  void tell_all();
  std::optional<Ending> failed_alone(double passed);
  [[noreturn]] void end_job(Ending ending, const std::string& consequence);

  // Of the thread alone.
  Communicator& control;
  comm::Watch watch;
  std::string name;
  RankState self;
  std::optional<comm::Mailbox> mailbox;

  // Shared, under the mutex.
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  double timeout_s = kDefaultHangTimeout;
  std::exception_ptr failure;
  double failed_for_s = 0;
  std::function<void(const Ending&)> before_the_end;
  bool keeps = false;
  std::vector<RankState> seen;

  int exceptions_at_start = std::uncaught_exceptions();
  std::thread thread;
};

// A gap much longer than the cadence means that this process was stopped for a while: that is no one's hang.
void Watchdog::State::run() {
  heartbeat::mute_this_thread();
  Clock::time_point last = Clock::now();
  std::unique_lock lock(mutex);
  while (!stopping) {
    changed.wait_for(lock, std::chrono::duration<double>(cadence()));
    if (stopping) return;
    const double longest = std::max(2 * cadence(), 1.0);
    lock.unlock();
    const Clock::time_point now = Clock::now();
    tick(std::min(std::chrono::duration<double>(now - last).count(), longest));
    last = now;
    lock.lock();
  }
}

void Watchdog::State::tick(double passed) {
  double timeout = 0;
  {
    const std::lock_guard lock(mutex);
    timeout = timeout_s;
  }
  comm::last_resort::within(2 * timeout, static_cast<int>(ExitCode::kInternal),
                            name + ": the watchdog itself hangs; ending this process");
  look_at_self(passed);
  watch.pass(passed, timeout);
  watch.heard(self);
  if (mailbox) exchange();
  {
    const std::lock_guard lock(mutex);
    keeps = watch.keeps();
    seen = watch.ranks();
  }
  if (auto ending = failed_alone(passed)) {
    end_job(std::move(*ending), "the other ranks wait in a collective call, so this rank ends the job");
  }
  if (auto hang = watch.hang(timeout)) {
    end_job({ExitCode::kInternal, std::move(hang->sentence), watch.ranks()},
            "all ranks are ended; started again, the job goes on from its newest checkpoint");
  }
}

void Watchdog::State::look_at_self(double passed) {
  heartbeat::Place now = heartbeat::place();
  self.idle_s = now.beats != self.place.beats ? 0 : self.idle_s + passed;
  self.place = std::move(now);
  self.thread_state = kernel_state(self.place.thread);
  self.memory_bytes = resident_bytes();
}

void Watchdog::State::exchange() {
  while (const auto message = mailbox->receive()) watch.heard(comm::decode_rank_state(*message));
  if (!watch.keeps()) return mailbox->send(watch.keeper(), comm::encode(self));
  tell_all();
}

void Watchdog::State::tell_all() {
  const std::string mine = comm::encode(self);
  for (int rank = 0; rank < control.size(); ++rank) {
    if (rank != self.rank) mailbox->send(rank, mine);
  }
}

std::optional<Ending> Watchdog::State::failed_alone(double passed) {
  const std::lock_guard lock(mutex);
  if (!failure || watch.left_to_another() || (failed_for_s += passed) < kAgreementPatience) return std::nullopt;
  return ending_of(failure);
}

void Watchdog::State::end_job(Ending ending, const std::string& consequence) {
  const int code = static_cast<int>(ending.code);
  comm::last_resort::within(kLastWords, code, name + ": " + ending.sentence);
  self.ends_job = true;
  if (mailbox) tell_all();
  std::function<void(const Ending&)> call;
  {
    const std::lock_guard lock(mutex);
    call = before_the_end;
  }
  Ending recorded = ending;
  if (ending.ranks.empty()) recorded.sentence = name + ": " + ending.sentence;
  call_with_patience(call, recorded);
  log::error_here(ending.sentence + "\n" + (ending.ranks.empty() ? "" : table_of(ending.ranks)) + "  " + consequence);
  control.abort(code);
  std::_Exit(code);  // not reached; the compiler cannot tell, as the call above is virtual
}

Watchdog::Watchdog(Communicator& control) {
  heartbeat::follow_this_thread();
  state_ = std::make_unique<State>(control);
  state_->thread = std::thread([this] { state_->run(); });
}

Watchdog::~Watchdog() {
  const bool unwinding = std::uncaught_exceptions() > state_->exceptions_at_start;
  const heartbeat::Phase phase("end of the job");
  try {
    if (!unwinding) state_->control.idle_barrier();  // still watched: a rank that never comes is noticed
  } catch (const Error&) {                           // another rank is gone; MPI's end is bounded too
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
  if (unwinding || !state_->mailbox) return;
  comm::last_resort::within(kClosePatience, static_cast<int>(ExitCode::kInternal),
                            state_->name + ": the watchdogs of other ranks do not close; ending this process");
  try {
    state_->mailbox->close();
  } catch (const Error&) {
  }
}

void Watchdog::set_timeout(double seconds) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->timeout_s = seconds;
  }
  state_->changed.notify_all();
}

void Watchdog::before_the_end(std::function<void(const Ending&)> call) {
  const std::lock_guard lock(state_->mutex);
  state_->before_the_end = std::move(call);
}

bool Watchdog::keeps_watch() const {
  const std::lock_guard lock(state_->mutex);
  return state_->keeps;
}

std::vector<RankState> Watchdog::ranks() const {
  const std::lock_guard lock(state_->mutex);
  return state_->seen;
}

Watchdog::Ultimatum::Ultimatum(Watchdog& watchdog, const std::exception_ptr& failure)
    : watchdog_(failure && watchdog.state_->control.size() > 1 ? &watchdog : nullptr) {
  if (watchdog_ == nullptr) return;
  const std::lock_guard lock(watchdog_->state_->mutex);
  watchdog_->state_->failure = failure;
  watchdog_->state_->failed_for_s = 0;
}

Watchdog::Ultimatum::~Ultimatum() {
  if (watchdog_ == nullptr) return;
  const std::lock_guard lock(watchdog_->state_->mutex);
  watchdog_->state_->failure = nullptr;
}

}  // namespace tercet
