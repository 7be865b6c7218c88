// run.h5 through HDF5, which is not instrumented: what it makes of a damaged file must be refused or harmless.
#include "store/records.hpp"
#include "store/run_layout.hpp"
#include "target.hpp"

namespace tercet::fuzz {
namespace {

RunRecord small_run() {
  RunRecord run;
  run.metrics = {{"training/loss", 3, 2.5, "nats", 1}, {"training/loss", 4, 2.25, "nats", 1}};
  run.wall_times = {1.0, 2.0};
  run.layers = {LayerRecord{"model.up", "up", "ternary", 8, 8, 4, 2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}};
  run.stages = {{"calibration", 0, 1.5, 1}};
  run.gates = {GateRecord{"sparsity", "pass", "fail", 0.4, 0.25, "0.25 to 0.45", "fine"}};
  run.ranks = {{0, "host", "cpu", 1e6, 10}};
  run.attempts = {{1, 0.5}};
  run.provenance = {{"config", {{"seed", 1}}}};
  return run;
}

std::vector<std::string> seeds() {
  const auto file = scratch() / "seed.h5";
  store::build_run_file(file, small_run());
  return {content_of(file)};
}

void read(std::string_view input) {
  const RunRecord run = store::read_run_file_here(scratch_file("run.h5", input));
  (void)store::to_json(run).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// HDF5 1.10 reads some damaged heaps of texts for ever (docs/security.md).
const Registration kTarget({"run_file", seeds, read, false});

}  // namespace
}  // namespace tercet::fuzz
