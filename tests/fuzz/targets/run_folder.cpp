// A run folder as reports and watchers see it: journal.jsonl, heartbeat.json and status.json.
#include <array>
#include <stdexcept>

#include "target.hpp"
#include "tercet/base/error.hpp"
#include "tercet/page/chart.hpp"
#include "tercet/report/glance.hpp"
#include "tercet/report/html_report.hpp"

namespace tercet::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFiles = {"journal.jsonl", "heartbeat.json", "status.json"};

RunResults results() {
  RunResults results;
  results.parameters = 100;
  results.packed_bytes = 50;
  results.fp32_bytes = 400;
  results.before = {3.0, 20.0, 0.4, std::nullopt, std::nullopt};
  results.packed = {3.05, 21.0, 0.39, 0.85, 0.05};
  results.tasks = {{"blimp", "f", "ab", 0, 10, {0.4, 0.05, 0.5, 0.05, 9.0}, {0.3, 0.05, 0.4, 0.05, 10.0}}};
  results.fine_tuning = FineTuning{5, 0.5, 10};
  return results;
}

std::vector<std::string> seeds() {
  const fs::path folder = scratch() / "run-folder";
  {
    RunFile run(folder, true);
    run.metric({"training/loss", 3, 2.5, "nats"});
    run.metric({"training/loss", 4, 2.25, "nats"});
    for (const char* model : {"before", "quantized", "packed", "dequantized"})
      run.metric({std::string("evaluation/") + model + "/perplexity", 0, 20, "1"});
    run.stage({"calibrate", 0, 1.5});
    run.layers({LayerRecord{"model.layers.0.up", "up", "ternary", 8, 8, 4, 2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}});
    run.gates({GateRecord{"sparsity", "pass", "fail", 0.4, 0.25, "0.25 to 0.45", "fine"}});
    run.ranks({{0, "host", "cpu", 1e6, 10}});
    run.provenance(kResultsKey, to_json(results()));
    run.provenance(kSolverKey, {{"layers", {{{"name", "a"}, {"error", 0.1}, {"error_rounding", 0.2}}}},
                                {"fallbacks", {{{"name", "a"}, {"reason", "b"}}}}});
    run.provenance(kTritsKey, {{{"name", "model.layers.0.up"}, {"minus", 3}, {"zero", 4}, {"plus", 5}}});
    run.provenance("bad_steps.attempt-1", {{{"step", 7}, {"loss", "nan"}, {"ranks", {0}}, {"consequence", "c"}}});
    run.provenance("data", {{{"path", "p"}, {"tokens", 10}}});
  }
  RankState rank;
  rank.known = true;
  rank.place = {1, "compress > fine-tune", 3, 9, true, "all_reduce", 8, 2, 0};
  const std::string input =
      join_parts({content_of(folder / kFiles[0]), to_json(Heartbeat{1.7e9, {rank}}).dump(),
                  R"({"state":"running","exit_code":null,"started":"2026-01-01T00:00:00Z","seconds":5})"});
  fs::remove_all(folder);
  return {input};
}

void read(std::string_view input) {
  const fs::path folder = scratch() / "run-folder";
  const auto parts = parts_of(input, kFiles.size());
  for (std::size_t i = 0; i < kFiles.size(); ++i) scratch_file(std::string("run-folder/") + kFiles[i], parts[i]);
  RunWatcher watcher(folder);
  try {
    const Glance& run = watcher.look();
    (void)to_json(run).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (picture(run, 80).find('\x1b') != std::string::npos) throw std::logic_error("a name drives the terminal");
  } catch (const Error&) {  // the page may still be possible
  }
  const RunView view = view_run(folder);
  if (html_report(view).find('\x1b') != std::string::npos) throw std::logic_error("a control character in the page");
  (void)markdown_report(view);
  (void)layers_csv(view);
  (void)metrics_csv(view);
}

const Registration kTarget({"run_folder", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
