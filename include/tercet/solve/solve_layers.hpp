// Layers shared out over the ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/solve/solver.hpp"

namespace tercet {

struct LayerProblem {
  std::string name;   // of the parameter
  at::Tensor weight;  // [out, in], host
  const LayerStatistics* statistics = nullptr;
  FormatSpec spec;
};

// Where finished layers are kept, so that a job that is started again need not solve them anew. Keys are names of
// parameters. The rank that solved a layer adds it; any rank may find it, also one of a job with another number of
// ranks. What find() gives must have been add()ed for the same inputs. Either may be empty.
struct SolutionLog {
  std::function<std::optional<std::string>(const std::string& key)> find;
  std::function<void(const std::string& key, const std::string& bytes)> add;
};

// The rank that solves each layer: largest cost first, each to the rank with least so far.
std::vector<int> owners_by_cost(const std::vector<double>& costs, int ranks);

// Collective. For each name the lowest rank whose log has it, -1 for none.
std::vector<int> ranks_that_know(Communicator& comm, const std::vector<std::string>& names, const SolutionLog& log);

// Collective. One rank solves a layer, all get the result, the same bits for any number of ranks. Layers that fell back
// are named in the log. An error of one layer is thrown on all ranks. Statistics may be null where the log has the
// layer.
std::vector<LayerSolution> solve_layers(Communicator& comm, const std::vector<LayerProblem>& problems,
                                        const SolverOptions& options, const SolutionLog& log = {});

}  // namespace tercet
