#include "tercet/solve/solve_layers.hpp"

#include <algorithm>
#include <numeric>

#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

// Factor of the second moment, then every row against it.
double cost_of(const LayerProblem& problem, SolveMethod method) {
  const auto rows = static_cast<double>(problem.weight.size(0)), columns = static_cast<double>(problem.weight.size(1));
  return method == SolveMethod::kRounding ? rows * columns : columns * columns * (columns + rows);
}

std::string solved(const LayerProblem& problem, const SolverOptions& options, const SolutionLog& log) {
  if (problem.statistics == nullptr) throw DataError("layer '" + problem.name + "' has no statistics to solve it by");
  std::string bytes = to_bytes(solve_layer(problem.weight, *problem.statistics, problem.spec, options));
  if (log.add) log.add(problem.name, bytes);
  return bytes;
}

std::string found(const std::string& name, const SolutionLog& log) {
  std::optional<std::string> bytes = log.find(name);
  if (!bytes) throw StoreError("the solution of layer '" + name + "' is gone", "it was there a moment ago");
  return *std::move(bytes);
}

void say(const LayerReport& report) {
  if (!report.fallback.empty()) {
    log::warn("layer '" + report.name + "' takes the rounding rule: " + report.fallback);
  } else if (report.tries.size() > 1) {
    log::warn("layer '" + report.name + "' needed damping " + nlohmann::json(report.damping).dump() + " after " +
              std::to_string(report.tries.size() - 1) + " failed tries: its second moment is near singular");
  }
}

}  // namespace

std::vector<int> owners_by_cost(const std::vector<double>& costs, int ranks) {
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
  std::vector<double> load(static_cast<std::size_t>(ranks));
  std::vector<int> owners(costs.size());
  for (const std::size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += costs[i];
    owners[i] = static_cast<int>(least - load.begin());
  }
  return owners;
}

std::vector<int> ranks_that_know(Communicator& comm, const std::vector<std::string>& names, const SolutionLog& log) {
  std::vector<std::int64_t> first(names.size(), comm.size());
  on_every_rank(comm, [&] {
    for (std::size_t i = 0; log.find && i < names.size(); ++i) {
      if (log.find(names[i])) first[i] = comm.rank();
    }
  });
  comm.all_reduce(std::span<std::int64_t>(first), Reduce::kMin);
  std::vector<int> ranks;
  for (const std::int64_t rank : first) ranks.push_back(rank == comm.size() ? -1 : static_cast<int>(rank));
  return ranks;
}

std::vector<LayerSolution> solve_layers(Communicator& comm, const std::vector<LayerProblem>& problems,
                                        const SolverOptions& options, const SolutionLog& log) {
  std::vector<std::string> names;
  for (const LayerProblem& problem : problems) names.push_back(problem.name);
  const std::vector<int> known = ranks_that_know(comm, names, log);
  std::vector<double> costs;
  for (std::size_t i = 0; i < problems.size(); ++i)
    costs.push_back(known[i] >= 0 ? 0.0 : cost_of(problems[i], options.method));
  std::vector<int> owners = owners_by_cost(costs, comm.size());
  std::vector<std::string> bytes(problems.size());
  on_every_rank(comm, [&] {
    for (std::size_t i = 0; i < problems.size(); ++i) {
      if (known[i] >= 0) owners[i] = known[i];
      if (owners[i] != comm.rank()) continue;
      bytes[i] = known[i] >= 0 ? found(names[i], log) : solved(problems[i], options, log);
    }
  });
  std::vector<LayerSolution> solutions;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    solutions.push_back(solution_from_bytes(broadcast_string(comm, std::move(bytes[i]), owners[i])));
    say(solutions.back().report);
  }
  return solutions;
}

}  // namespace tercet
