// Figures that the cost model starts from, measured on the machine and the ranks that are there.
#pragma once

#include <filesystem>
#include <string>

#include "cost_model.hpp"
#include "planned_job.hpp"
#include "tercet/comm/communicator.hpp"

namespace tercet::job {

// Collective. Fills the coefficients of computing by a few steps of one rank by itself, all ranks at once: with one
// micro-batch, and when that takes less than ten seconds also with one sequence and with two micro-batches. Otherwise
// time is taken to be in proportion to sequences. Returns a sentence about it. The slowest rank counts.
std::string measure_compute(Communicator& comm, const PlannedJob& job, CostInputs& inputs);

// Collective, with two ranks or more. From all-reduces of one number and of `bytes`, by the formulas of the cost model.
Link measure_link(Communicator& comm, const std::string& device, std::uint64_t bytes);

// Collective. Writes 64 MB into the folder (or its nearest parent that exists), fsyncs and removes it. 0: not writable.
double measure_disk(Communicator& comm, const std::filesystem::path& folder);

// Bytes per second of copying memory to memory.
double measure_copy();

// Collective. The most ranks of this job that share a host.
int ranks_on_a_node(Communicator& comm);

}  // namespace tercet::job
