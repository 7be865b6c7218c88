#include "element_runner.hpp"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <thread>
#include <utility>

#include "element_packing.hpp"
#include "element_process.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/status.hpp"

namespace tercet::job {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::seconds kRemindAfter{5};       // of a stop: one that came before a child's exec was lost
constexpr std::chrono::seconds kWaitForOrphans{120};  // ranks whose driver was killed save and end

bool inside_slurm() {
  return std::getenv("SLURM_JOB_ID") != nullptr;
}

enum class Next { kNothing, kWait, kRun };

Need need_of(const Element& element) {
  return {element.cpus, element.gpus};
}

struct Waiting {
  std::unique_ptr<ElementRun> run;
  std::size_t place;  // in the list of exit codes
  Clock::time_point since = Clock::now();
};

struct Running {
  Waiting element;
  ChildProcess process;
  Slots slots;
};

class Runner {
 public:
  Runner(std::vector<std::unique_ptr<ElementRun>> elements, const PackingSection& packing, std::function<void()> on_end)
      : packing_(packing),
        on_end_(std::move(on_end)),
        node_(node_slots()),
        free_(node_),
        codes_(elements.size(), code(ExitCode::kStopped)) {
    for (auto& element : elements) waiting_.push_back({std::move(element), waiting_.size()});
  }

  std::vector<int> run();

 private:
  void collect();
  void hand_on_stop();
  void start_what_fits();
  bool has_room(const Element& element) const;
  bool start(Waiting& waiting);  // false: it has to wait
  Next next_step(const Waiting& waiting) const;
  void launch(Waiting waiting, const Slots& slots);
  void ended(Running& running, int status);
  void report(const Waiting& waiting);
  ProcessRequest request(const ElementRun& run, const Slots& slots) const;

  // Whatever goes wrong with the files of one element is its own failure.
  template <class Step>
  bool guarded(Waiting& waiting, Step step);

  const PackingSection& packing_;
  std::function<void()> on_end_;
  Slots node_, free_;
  std::vector<int> codes_;
  std::deque<Waiting> waiting_;
  std::list<Running> running_;
  int handed_on_ = 0;
  Clock::time_point reminded_;
};

template <class Step>
bool Runner::guarded(Waiting& waiting, Step step) {
  const std::string& name = waiting.run->element().name;
  try {
    step();
    return true;
  } catch (const Error& error) {
    log::error(name + ": " + error.what());
    codes_[waiting.place] = static_cast<int>(error.exit_code());
    try {
      waiting.run->fail(error.what(), codes_[waiting.place]);
    } catch (const Error&) {  // the disk is full, say: the log has the reason, the summary calls it interrupted
    }
  }
  return false;
}

std::vector<int> Runner::run() {
  while (true) {
    heartbeat::beat();  // the jobs are watched by themselves
    hand_on_stop();
    collect();
    if (stop_requests() == 0) start_what_fits();
    if (running_.empty() && (waiting_.empty() || stop_requests() > 0)) return codes_;
    std::this_thread::sleep_for(kPause);
  }
}

void Runner::hand_on_stop() {
  const int requested = stop_requests();
  if (requested == 0) return;
  const bool fresh = requested > handed_on_;
  if (!fresh && Clock::now() - reminded_ < kRemindAfter) return;
  if (fresh) log::info(requested == 1 ? "stop requested: the elements under way save and end" : "ending them at once");
  for (const Running& running : running_) running.process.signal(requested == 1 ? SIGUSR1 : SIGTERM);
  handed_on_ = requested;
  reminded_ = Clock::now();
}

void Runner::collect() {
  for (auto running = running_.begin(); running != running_.end();) {
    const std::optional<int> status = running->process.poll();
    if (!status) {
      ++running;
      continue;
    }
    ended(*running, *status);
    running = running_.erase(running);
  }
}

void Runner::ended(Running& running, int status) {
  give_back(free_, running.slots);
  Waiting& element = running.element;
  if (!guarded(element, [&] { element.run->end_attempt(status, stop_requests() > 0); })) return;
  report(element);
  if (on_end_) on_end_();
  if (element.run->may_retry() && stop_requests() == 0) {
    waiting_.push_back({std::move(element.run), element.place});
  }
}

void Runner::report(const Waiting& waiting) {
  const ElementState& state = waiting.run->state();
  codes_[waiting.place] = exit_code_of(state);
  std::string line = waiting.run->element().name + ": " + state.state;
  if (!state.attempts.empty()) {
    const ElementAttempt& last = state.attempts.back();
    line += " after " + format_duration(last.ended.value_or(unix_time()) - last.started);
  }
  if (!state.reason.empty()) line += ": " + state.reason;
  if (!state.published.empty()) line += ", published as " + state.published;
  has_verdict(state) ? log::info(line) : log::warn(line);
}

void Runner::start_what_fits() {
  for (std::size_t i = 0; i < waiting_.size();) {
    if (start(waiting_[i])) {
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

// One that can never run has room: it only needs to be told so.
bool Runner::has_room(const Element& element) const {
  if (!why_impossible(node_, need_of(element)).empty()) return true;
  const auto most = static_cast<std::size_t>(packing_.at_once);
  if (most > 0 && running_.size() >= most) return false;
  // Inside an allocation srun deals out the GPUs, and would give every step all of them.
  if (inside_slurm() && element.gpus > 0 && !running_.empty()) return false;
  Slots trial = free_;
  return take(node_, trial, need_of(element)).has_value();
}

// True when the element has left the queue: started, or with an outcome. Until there is room it is not touched, so that
// no more locks are held than elements run.
bool Runner::start(Waiting& waiting) {
  ElementRun& run = *waiting.run;
  if (!has_room(run.element())) return false;
  Next next = Next::kRun;
  if (!guarded(waiting, [&] { next = next_step(waiting); })) return true;
  if (next == Next::kWait) return false;
  if (next == Next::kNothing) {
    report(waiting);
  } else {
    launch(std::move(waiting), *take(node_, free_, need_of(run.element())));
  }
  return true;
}

Next Runner::next_step(const Waiting& waiting) const {
  ElementRun& run = *waiting.run;
  run.open();
  if (!run.may_start()) return Next::kNothing;
  if (const std::string why = why_impossible(node_, need_of(run.element())); !why.empty()) throw ConfigError(why);
  if (!run.run_is_locked()) return Next::kRun;
  if (Clock::now() - waiting.since < kWaitForOrphans) return Next::kWait;
  throw StoreError("the run directory of '" + run.element().name + "' is in use", "another job holds its lock");
}

void Runner::launch(Waiting waiting, const Slots& slots) {
  const bool started = guarded(waiting, [&] {
    waiting.run->begin_attempt();
    ChildProcess process(request(*waiting.run, slots));
    const Element& element = waiting.run->element();
    log::info(element.name + ": attempt " + std::to_string(waiting.run->state().attempts.size()) + ", " +
              std::to_string(element.ranks) + " ranks on CPUs " + cpu_list(slots.cpus) +
              (slots.gpus.empty() ? "" : " and GPUs " + gpu_list(slots.gpus)) + "; log " +
              waiting.run->files().log.string());
    running_.push_back({std::move(waiting), std::move(process), slots});
  });
  if (!started) give_back(free_, slots);
}

ProcessRequest Runner::request(const ElementRun& run, const Slots& slots) const {
  const std::filesystem::path launcher = find_launcher();
  ProcessRequest request;
  request.command = {launcher.string(), run.files().config.string(), std::to_string(run.element().ranks)};
  request.environment = launcher_environment(launcher);
  request.log = run.files().log;
  if (inside_slurm()) {
    request.environment["SLURM_EXACT"] = "1";  // a step takes what it asked for, so that several fit
    return request;
  }
  request.cpus = slots.cpus;
  request.environment["TERCET_CPUS"] = cpu_list(slots.cpus);
  request.environment["OMP_NUM_THREADS"] = std::to_string(threads_per_rank(slots, run.element().ranks));
  request.environment["CUDA_VISIBLE_DEVICES"] = gpu_list(slots.gpus);
  return request;
}

}  // namespace

std::vector<int> run_elements(std::vector<std::unique_ptr<ElementRun>> elements, const PackingSection& packing,
                              std::function<void()> on_end) {
  count_stop_requests();
  return Runner(std::move(elements), packing, std::move(on_end)).run();
}

}  // namespace tercet::job
