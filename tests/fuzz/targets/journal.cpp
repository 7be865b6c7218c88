// journal.jsonl of a run.
#include "store/records.hpp"
#include "target.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  const auto folder = scratch() / "journal-run";
  {
    RunFile run(folder, true);
    run.provenance("config", {{"seed", 1}});
    run.metric({"training/loss", 3, 2.5, "nats"});
    run.stage({"calibration", 0, 1.5});
    run.layers({LayerRecord{"model.up", "up", "ternary", 8, 8, 4, 2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}});
    run.gates({GateRecord{"sparsity", "pass", "fail", 0.4, 0.25, "0.25 to 0.45", "fine"}});
    run.ranks({{0, "host", "cpu", 1e6, 10}});
  }
  const std::string journal = content_of(folder / "journal.jsonl");
  std::filesystem::remove_all(folder);
  return {journal};
}

void read(std::string_view input) {
  const RunRecord run = read_journal(scratch_file("journal.jsonl", input));
  (void)store::to_json(run).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

const Registration kTarget({"journal", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
