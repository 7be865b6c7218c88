// Why a planned job cannot run, and what would work; what will run, but not well.
#pragma once

#include <string>
#include <vector>

#include "disk_plan.hpp"
#include "memory_plan.hpp"
#include "planned_job.hpp"

namespace tercet::job {

struct NodeLimits {
  int ranks_per_node = 1;
  std::uint64_t memory = 0;  // bytes of a node
  bool known = false;        // this node is like those of the job: it is one of them, or its memory was given
};

// Settings with which ranks would have nothing to do, each with the nearest value that works.
std::vector<std::string> setting_problems(const PlannedJob& job);
// Memory and disk that do not suffice. The memory of nodes that are not known is only warned of.
std::vector<std::string> resource_problems(const PlannedJob& job, const MemoryPlan& memory, const DiskPlan& disk,
                                           const NodeLimits& node);
// What runs, but with idle or unevenly loaded ranks, or close to a limit.
std::vector<std::string> plan_notes(const PlannedJob& job, const std::vector<Sharing>& world, const MemoryPlan& memory,
                                    const NodeLimits& node);

// Throws one ConfigError that lists them all.
void refuse_if_any(const PlannedJob& job, const std::vector<std::string>& problems);

}  // namespace tercet::job
