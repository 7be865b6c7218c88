// tercet report: what a run measured, from its run file or its journal.
#include "tercet/report/report.hpp"

#include <filesystem>

#include "html_page.hpp"
#include "model_loader.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/track/mlflow.hpp"
#include "tercet/track/trackers.hpp"
#include "trit_counts.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

// Runs from before the trits were recorded: they are counted in the packed file, where it is there.
std::vector<TritCounts> trits_of_artifact(const fs::path& run) {
  for (const char* folder : {"artifacts", "rejected"}) {
    const fs::path packed = run / folder / job::kPackedFile;
    if (!fs::exists(packed)) continue;
    try {
      return job::trit_counts(read_packed_model(packed));
    } catch (const Error& error) {
      log::warn(std::string("the trits are not counted: ") + error.what());
    }
  }
  return {};
}

void write_page(const ReportRequest& request, RunView& view) {
  if (view.trits.empty()) view.trits = trits_of_artifact(request.run);
  if (request.html.empty()) {
    job::write_html_page(view);  // the text names it among the files
    return;
  }
  write_file_atomically(request.html, html_report(view));
  log::info("the page is in " + request.html.string());
}

WandbProject wandb_project(const fs::path& run) {
  WandbProject project;
  try {
    const TrackersSection settings = load_job_config(run / "config.resolved.yaml", {}).trackers;
    if (!settings.wandb_project.empty()) project = {settings.wandb_project, settings.wandb_entity, settings.wandb_name};
  } catch (const Error&) {  // none, or of another version
  }
  return project;
}

void track(const ReportRequest& request, const RunView& view) {
  const TrackedRun run = tracked_run(view);
  if (!request.tensorboard.empty()) {
    replay(*tensorboard_tracker(request.tensorboard, run), view);
    log::info("the event file is in " + request.tensorboard.string());
  }
  if (!request.wandb.empty()) {
    replay(*wandb_tracker(request.wandb, run, wandb_project(request.run)), view);
    log::info("send it with: wandb sync " + wandb_folder(request.wandb, run).string());
  }
  if (!request.mlflow.empty()) {
    const std::string id = log_to_mlflow({request.mlflow, request.mlflow_experiment}, view);
    log::info("run " + id + " of experiment '" + request.mlflow_experiment + "' on " + request.mlflow);
  }
}

std::string shown(const std::string& what, const RunView& view) {
  if (what == "markdown") return markdown_report(view);
  if (what == "layers") return layers_csv(view);
  if (what == "metrics") return metrics_csv(view);
  return report_text(view);
}

}  // namespace

CommandResult report(const ReportRequest& request) {
  if (request.rebuild) rebuild_run_file(request.run);
  RunView view = view_run(request.run);
  if (request.writes_html) write_page(request, view);
  track(request, view);
  return {ExitCode::kPassed, report_json(view), shown(request.show, view)};
}

}  // namespace tercet
