// How long a job will take, and on how many ranks, with where each figure comes from.
#pragma once

#include <string>
#include <vector>

#include "cost_model.hpp"
#include "disk_plan.hpp"
#include "planned_job.hpp"
#include "tercet/comm/communicator.hpp"
#include "tercet/job/commands.hpp"

namespace tercet::job {

struct NamedInput {
  std::string name, unit;
  double value = 0;
  std::string origin;  // "measured", "given", "assumed", and what that means here
};

struct TimePlan {
  std::vector<NamedInput> inputs;
  std::vector<StepCost> steps;  // on 1, 2, 4 ... ranks; the last entry is for the planned ones. Empty without training.
  double calibrate_s = 0, tune_blocks_s = 0, evaluate_s = 0, fine_tune_s = 0;
  double speed_s = 0;  // that measuring how fast the packed model generates takes on rank 0
};

// Collective.
TimePlan plan_time(Communicator& comm, const PlannedJob& job, const DiskPlan& disk, int ranks_per_node,
                   const PlanRequest& request);

}  // namespace tercet::job
