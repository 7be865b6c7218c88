// tercet plan: what a job will need, found without doing it.
#include <optional>

#include "memory_plan.hpp"
#include "plan_measure.hpp"
#include "plan_problems.hpp"
#include "plan_report.hpp"
#include "task_report.hpp"
#include "tercet/base/error.hpp"
#include "tercet/job/commands.hpp"
#include "time_plan.hpp"

namespace tercet {
namespace {

job::NodeLimits node_limits(const PlanRequest& request, int ranks, int ranks_here, int sharing_now) {
  job::NodeLimits node;
  node.ranks_per_node = std::min(ranks, request.ranks_per_node > 0 ? request.ranks_per_node : sharing_now);
  node.memory =
      request.node_memory_gb > 0 ? static_cast<std::uint64_t>(request.node_memory_gb * 1e9) : job::host_memory();
  node.known = request.node_memory_gb > 0 || ranks == ranks_here;
  return node;
}

}  // namespace

CommandResult plan(Runtime& runtime, Communicator& comm, JobConfig config, const PlanRequest& request) {
  const std::uint64_t process_bytes = job::resident_bytes();
  const int ranks = request.world_size > 0 ? request.world_size : comm.size();
  const int sharing_now = job::ranks_on_a_node(comm);
  std::optional<job::PlannedJob> planned;
  job::Plan result;
  on_every_rank(comm, [&] {
    require_keys(config, {"model.path", "output", "data.sources"});
    if (request.world_size == 0) instruction_set(config.kernels.instruction_set);  // else other machines are meant
    planned.emplace(job::plan_job(config, runtime.device(), ranks));
    job::refuse_if_any(*planned, job::setting_problems(*planned));
    result.node = node_limits(request, ranks, comm.size(), sharing_now);
    result.memory = job::plan_memory(*planned, process_bytes);
    result.disk = job::plan_disk(*planned);
    result.world = job::pretend_world(job::items_of(*planned), ranks);
    job::refuse_if_any(*planned, job::resource_problems(*planned, result.memory, result.disk, result.node));
    result.notes = job::plan_notes(*planned, result.world, result.memory, result.node);
  });
  job::read_tasks(comm, config);  // a file that is not what it should be is said now
  result.time = job::plan_time(comm, *planned, result.disk, result.node.ranks_per_node, request);
  return {ExitCode::kPassed, job::to_json(*planned, result), job::to_text(*planned, result)};
}

}  // namespace tercet
