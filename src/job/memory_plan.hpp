// Memory of one rank and of one node, stage by stage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planned_job.hpp"

namespace tercet::job {

struct MemoryItem {
  std::string name;
  std::uint64_t bytes = 0;
};

struct MemoryStage {
  std::string name;  // "fine-tune"
  std::vector<MemoryItem> items;
  std::uint64_t total() const;
};

struct MemoryPlan {
  std::vector<MemoryStage> stages;  // what they name is held at the same time
  std::uint64_t process = 0;        // program and libraries, measured before anything was loaded
  const MemoryStage& largest() const;
  std::uint64_t per_rank() const { return largest().total() + process; }
};

// `process_bytes`: resident memory of this process at its start (see resident_bytes). On a GPU the stages are device
// memory, except what is named "on the host". Pages of mapped files are not counted: the system takes them back.
MemoryPlan plan_memory(const PlannedJob& job, std::uint64_t process_bytes);

std::uint64_t resident_bytes();  // of this process, now
std::uint64_t host_memory();     // of this machine

}  // namespace tercet::job
