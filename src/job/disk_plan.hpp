// What a job leaves on disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planned_job.hpp"
#include "tercet/store/checkpoint_size.hpp"

namespace tercet::job {

struct DiskItem {
  std::string name;
  std::uint64_t bytes = 0;
};

struct DiskPlan {
  std::vector<DiskItem> artifacts;
  CheckpointSize checkpoint;      // one; nothing without training or with checkpoint.every_steps: 0
  std::int64_t checkpoints = 0;   // kept, and the one being written
  std::uint64_t token_cache = 0;  // about
  std::uint64_t unfinished = 0;   // finished units of work, kept until the job is done, about
  std::uint64_t rounds = 0;       // artifacts and weights of other rounds than the published one, until the end, about
  std::uint64_t records = 0;      // run.h5, journal.jsonl and a log per rank, about
  std::uint64_t total() const;
};

DiskPlan plan_disk(const PlannedJob& job);

}  // namespace tercet::job
