// A plan as JSON, and as tables for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "disk_plan.hpp"
#include "memory_plan.hpp"
#include "plan_problems.hpp"
#include "planned_job.hpp"
#include "pretended_world.hpp"
#include "time_plan.hpp"

namespace tercet::job {

struct Plan {
  MemoryPlan memory;
  DiskPlan disk;
  NodeLimits node;
  std::vector<Sharing> world;
  TimePlan time;
  std::vector<std::string> notes;
};

nlohmann::json to_json(const PlannedJob& job, const Plan& plan);
std::string to_text(const PlannedJob& job, const Plan& plan);

}  // namespace tercet::job
