// Where the quantized layers of a job start when they are solved, not rounded.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "tercet/calib/calibrate.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/solve/solve_layers.hpp"
#include "tercet/train/student.hpp"

namespace tercet::job {

SolverOptions solver_options(const QuantizationSection& settings);

struct SolvingRun {
  SolverOptions solver;
  bool sequential = true;
  CalibrationOptions calibration;  // block and second_moment are set here
  std::function<void(std::uint64_t index, std::span<std::int64_t> ids)> sample;
  SolutionLog log;
  std::filesystem::path folder;  // where solved blocks of a model that streams lie, seen by all ranks
};

// Collective. `model` holds the original's weights and the activation bits of the job; the matrices inside its blocks
// get their masters, and `plan` the calibration under which those stand for the solved levels and scales. What is
// outside the blocks must have its calibration in `plan` already. Not sequential: solved by `statistics`, with second
// moments. Sequential: block after block, by statistics of the model in which the blocks before it and everything
// outside the blocks are quantized already. Reports in the order of parameters. A model that streams is solved
// sequentially alone.
std::vector<LayerReport> solve_starting_points(Communicator& comm, const SolvingRun& run,
                                               const std::vector<LayerStatistics>& statistics, Decoder& model,
                                               std::vector<ParameterPlan>& plan);

// What the run file keeps of it: the reports, and the layers that fell back.
nlohmann::json solver_record(const std::vector<LayerReport>& reports);

// Whether the calibration of the original collects X'X of every layer at once.
bool needs_second_moments(const JobConfig& config);

}  // namespace tercet::job
