// When a job stops before its end: a signal to any rank, a stop file (`tercet stop RUN`), or the end of its time. All
// ranks ask at each border between units of work (a step, a shard, a batch, a stage) and all get the same answer there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "tercet/comm/communicator.hpp"

namespace tercet {

enum class StopReason : std::int64_t { kNone = 0, kTime = 1, kSignal = 2, kRequest = 3 };  // the highest one counts
std::string to_string(StopReason reason);                                                  // "time", "signal", ...

struct StopOptions {
  std::filesystem::path request_file;  // asks for a stop by being there; empty: none
  std::optional<double> end_time;      // when this process's time is over, seconds since 1970; rank 0's clock counts
};

class StopControl {
 public:
  StopControl(Communicator& comm, StopOptions options) : comm_(comm), options_(std::move(options)) {}

  // Collective, one small reduction. `lead_s` is what this rank needs to save and leave, in seconds: with less than
  // the largest of them left before end_time, the job stops.
  bool due(double lead_s = 0);
  StopReason reason() const { return reason_; }

  // Throws StopRequested: "<what> stopped <why>". Every rank calls it after due() was true.
  [[noreturn]] void leave(const std::string& what) const;

  const std::optional<double>& end_time() const { return options_.end_time; }

 private:
  Communicator& comm_;
  StopOptions options_;
  StopReason reason_ = StopReason::kNone;
};

// When the allocation of the batch system ends, seconds since 1970: SLURM_JOB_END_TIME, else what squeue says of
// SLURM_JOB_ID. nullopt outside a batch job, or when the job has no limit.
std::optional<double> allocation_end_time();

}  // namespace tercet
