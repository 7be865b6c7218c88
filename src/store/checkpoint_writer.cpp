#include <future>
#include <utility>

#include "store/snapshot.hpp"
#include "tercet/base/clock.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet {
namespace {

CheckpointReport timed_commit(Communicator& comm, const CheckpointOptions& options, const store::Snapshot& snapshot) {
  const auto begin = Clock::now();
  CheckpointReport report;
  report.step = snapshot.manifest.step;
  report.bytes = store::commit(comm, options, snapshot);
  report.write_s = seconds_since(begin);
  return report;
}

}  // namespace

struct CheckpointWriter::State {
  State(Communicator& caller, const CheckpointOptions& wanted)
      : comm(caller), options(wanted), own(wanted.asynchronous ? duplicate(caller) : nullptr) {}

  void start(std::int64_t step, const StateTensors& tensors, const nlohmann::json& metadata);
  void collect();  // waits for the one in flight

  Communicator& comm;
  CheckpointOptions options;
  std::unique_ptr<Communicator> own;  // of the thread that writes
  store::Snapshot snapshot;           // not touched while that thread runs
  double stall_s = 0;                 // by the one in flight so far
  std::vector<CheckpointReport> reports;
  std::future<CheckpointReport> in_flight;  // last: going away, it waits for the thread, which uses the others
};

// The thread begins once every rank has one: a rank without would leave the other threads waiting for it.
void CheckpointWriter::State::start(std::int64_t step, const StateTensors& tensors, const nlohmann::json& metadata) {
  std::promise<void> all_ready;
  try {
    on_every_rank(comm, [&] {
      snapshot.take(comm, step, tensors, metadata, true);
      in_flight = std::async(std::launch::async, [this, ready = all_ready.get_future()]() mutable {
        ready.get();
        return timed_commit(*own, options, snapshot);
      });
    });
  } catch (...) {
    all_ready = {};  // a thread that was started ends with a broken promise
    in_flight = {};
    throw;
  }
  all_ready.set_value();
}

void CheckpointWriter::State::collect() {
  if (!in_flight.valid()) return;
  const auto begin = Clock::now();
  const heartbeat::Waiting waiting("the end of a checkpoint");  // that thread waits for those of other ranks
  on_every_rank(comm, [&] { reports.push_back(in_flight.get()); });
  reports.back().stall_s = stall_s + seconds_since(begin);
}

CheckpointWriter::CheckpointWriter(Communicator& comm, const CheckpointOptions& options)
    : state_(std::make_unique<State>(comm, options)) {}

CheckpointWriter::~CheckpointWriter() {
  if (!state_->in_flight.valid()) return;
  try {
    state_->in_flight.get();
  } catch (const std::exception& error) {
    log::warn_here(std::string("the last checkpoint was lost: ") + error.what());
  }
}

void CheckpointWriter::save(std::int64_t step, const StateTensors& tensors, const nlohmann::json& metadata) {
  state_->collect();
  const auto begin = Clock::now();
  store::require_same_state(state_->comm, step, tensors);
  if (state_->options.asynchronous) {
    state_->start(step, tensors, metadata);
    state_->stall_s = seconds_since(begin);
    return;
  }
  on_every_rank(state_->comm, [&] { state_->snapshot.take(state_->comm, step, tensors, metadata, false); });
  state_->reports.push_back(timed_commit(state_->comm, state_->options, state_->snapshot));
  state_->reports.back().stall_s = seconds_since(begin);
  state_->snapshot = {};  // lets go of the tensors
}

void CheckpointWriter::wait() {
  state_->collect();
}

std::vector<CheckpointReport> CheckpointWriter::take_reports() {
  return std::exchange(state_->reports, {});
}

}  // namespace tercet
