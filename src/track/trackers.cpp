#include "tercet/track/trackers.hpp"

#include <utility>

#include "tercet/log/log.hpp"
#include "tercet/report/html_report.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;

void replay(Tracker& tracker, const RunView& view) {
  double newest = 0;
  for (const TrackedValue& value : values_of(view.record)) {
    tracker.add(value);
    newest = value.wall_time;
  }
  tracker.add_text("report", markdown_report(view), newest);
  tracker.end(exit_code_of(view), newest);
}

Trackers::Trackers(const JobConfig& config, fs::path run_folder) : folder_(std::move(run_folder)) {
  const TrackersSection& on = config.trackers;
  if (on.tensorboard) {
    kept_.push_back({"TensorBoard", "`tercet report RUN --tensorboard FOLDER` writes all of them",
                     [this](const TrackedRun& run) { return tensorboard_tracker(folder_ / "tensorboard", run); }});
  }
  if (!on.wandb_project.empty()) {
    const WandbProject project{on.wandb_project, on.wandb_entity, on.wandb_name};
    kept_.push_back({"Weights & Biases", "`tercet report RUN --wandb FOLDER` writes all of them",
                     [this, project](const TrackedRun& run) { return wandb_tracker(folder_, run, project); }});
  }
  if (!on.prometheus.empty()) {
    kept_.push_back({"Prometheus", "the journal has all of them",
                     [place = on.prometheus](const TrackedRun& run) { return prometheus_tracker(place, run); }});
  }
  if (!kept_.empty()) begin_anew();
}

Trackers::~Trackers() = default;

void Trackers::each(const std::function<void(Kept&)>& action) {
  for (Kept& kept : kept_) {
    if (kept.failed) continue;
    try {
      action(kept);
    } catch (const std::exception& error) {
      kept.failed = true;
      kept.tracker.reset();
      log::warn_here(std::string(error.what()) + "; the job goes on, but from here on no figures go to " + kept.name +
                     " (" + kept.remedy + ")");
    }
  }
}

void Trackers::begin_anew() {
  std::vector<TrackedValue> values;
  TrackedRun run;
  try {
    const RunView view = view_run(folder_);
    values = values_of(view.record);
    run = tracked_run(view);
    known_.attempts = view.record.attempts;
    last_steps_.clear();
    for (const MetricRecord& metric : view.record.metrics) last_steps_[metric.name] = metric.step;
  } catch (const std::exception& error) {
    // Then the files miss what came before, or hold what was repeated.
    log::warn_here(std::string("the trackers do not know the earlier figures of this run: ") + error.what());
    run.folder = folder_;
  }
  each([&](Kept& kept) {
    kept.tracker = kept.begin(run);
    for (const TrackedValue& value : values) kept.tracker->add(value);
  });
  stale_ = false;
  begun_ = unix_time();
}

bool Trackers::repeats(const RunRecord& news) {
  bool repeated = false;
  for (const MetricRecord& metric : news.metrics) {
    const auto [last, first] = last_steps_.emplace(metric.name, metric.step);
    repeated = repeated || (!first && metric.step <= last->second);
    last->second = metric.step;
  }
  return repeated;
}

void Trackers::take(const RunRecord& news) {
  if (kept_.empty()) return;
  if (news.provenance.contains(kResultsKey)) known_.provenance[kResultsKey] = news.provenance.at(kResultsKey);
  if (repeats(news)) stale_ = true;
  if (stale_) {  // what is left out now comes from the journal then
    if (unix_time() - begun_ >= kRewriteInterval) begin_anew();
    return;
  }
  RunRecord record = news;
  record.attempts = known_.attempts;
  record.provenance = known_.provenance;
  const std::vector<TrackedValue> values = values_of(record, unix_time());
  each([&](Kept& kept) {
    for (const TrackedValue& value : values) kept.tracker->add(value);
  });
}

void Trackers::end(int exit_code) {
  if (kept_.empty()) return;
  if (stale_) begin_anew();
  std::string report;
  try {
    report = markdown_report(view_run(folder_));
  } catch (const std::exception& error) {
    log::warn_here(std::string("the trackers get no report: ") + error.what());
  }
  each([&](Kept& kept) {
    if (!report.empty()) kept.tracker->add_text("report", report, unix_time());
    kept.tracker->end(exit_code, unix_time());
  });
}

}  // namespace tercet
