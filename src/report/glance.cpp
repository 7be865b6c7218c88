#include "tercet/report/glance.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/rounds_text.hpp"
#include "tercet/report/run_view.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::size_t kMostSeries = 10'000;
constexpr std::size_t kSteps = 50;   // that the pace of the training is taken from
constexpr double kPaceOver_s = 120;  // of the heartbeats that it is taken from
constexpr const char* kConfigFile = "config.resolved.yaml";

// Later measurements first: the model as it is.
constexpr std::array kModels = {"packed", "tuned by block", "quantized"};

template <class Moves>
std::optional<double> pace_of(const Moves& moves) {
  if (moves.size() < 2) return std::nullopt;
  const double time = moves.back().first - moves.front().first, way = moves.back().second - moves.front().second;
  return time > 0 && way > 0 ? std::optional(way / time) : std::nullopt;
}

// Zeros of the ternary matrices inside the blocks, as the sparsity gate counts them.
std::optional<double> sparsity_of(const std::vector<LayerRecord>& layers) {
  double zeros = 0, weights = 0;
  for (const LayerRecord& layer : layers) {
    if (!layer.format.starts_with("ternary") || layer.role == "embedding" || layer.role == "head") continue;
    const double count = static_cast<double>(layer.rows) * static_cast<double>(layer.columns);
    zeros += layer.sparsity * count;
    weights += count;
  }
  return weights > 0 ? std::optional(zeros / weights) : std::nullopt;
}

}  // namespace

std::optional<double> Glance::value(const std::string& series) const {
  const auto found = last.find(series);
  return found == last.end() ? std::nullopt : std::optional(found->second.value);
}

bool Glance::over() const {
  return state == "passed" || state == "gate_failed" || state == "stopped" || state == "failed";
}

const RankState* Glance::root() const {
  if (!heartbeat) return nullptr;
  const auto known =
      std::find_if(heartbeat->ranks.begin(), heartbeat->ranks.end(), [](const RankState& rank) { return rank.known; });
  return known == heartbeat->ranks.end() ? nullptr : &*known;
}

std::optional<double> Glance::silent_s() const {
  if (state != "running") return std::nullopt;
  const double sign = std::max(heartbeat ? heartbeat->time : 0, unix_time_of(updated));
  return sign > 0 ? std::optional(std::max(0.0, time - sign)) : std::nullopt;
}

RunWatcher::RunWatcher(fs::path run_folder, JournalFollower::Bounds bounds, bool without_run_file)
    : journal_(run_folder / "journal.jsonl", bounds), reads_file_(!without_run_file) {
  glance_.folder = run_folder;
  const bool has_journal = fs::exists(run_folder / "journal.jsonl");
  if (!has_journal && !fs::exists(run_folder / "run.h5") && !fs::exists(run_folder / "status.json")) {
    throw StoreError("'" + run_folder.string() + "' holds no run", "there is no journal.jsonl, run.h5 or status.json",
                     "give the output folder of `tercet compress`");
  }
  const fs::path whole = fs::absolute(run_folder).lexically_normal();
  glance_.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  try {
    if (stays_inside(run_folder, kConfigFile)) {
      const JobConfig config = load_job_config(run_folder / kConfigFile, {});
      if (!config.name.empty()) glance_.name = config.name;
      rules_ = config.gates;
    }
  } catch (const Error&) {  // not there, or of another version: the folder's name serves, and no gate is foretold
  }
}

const Glance& RunWatcher::look() {
  glance_.time = unix_time();
  read_status_file();
  glance_.heartbeat = read_heartbeat(glance_.folder);
  read_records();
  if (began_anew_) forget_records();
  take(news_);
  glance_.damaged_lines = journal_.damaged_lines();
  if (!glance_.judged) judge_so_far();
  measure_pace();
  return glance_;
}

void RunWatcher::read_records() {
  news_ = RunRecord();
  began_anew_ = false;
  if (fs::exists(glance_.folder / "journal.jsonl")) {
    news_ = journal_.read();
    began_anew_ = journal_.began_anew();
  } else if (reads_file_ && fs::exists(glance_.folder / "run.h5")) {
    reads_file_ = false;
    news_ = read_run_file(glance_.folder / "run.h5");
    began_anew_ = true;
  }
}

// Another run may be in the folder now.
void RunWatcher::forget_records() {
  glance_.last.clear();
  glance_.stages.clear();
  glance_.gates.clear();
  glance_.judged = false;
  glance_.results.reset();
  glance_.sparsity.reset();
  glance_.attempts = 0;
  glance_.fallbacks = 0;
  bad_steps_.clear();
  steps_.clear();
}

void RunWatcher::read_status_file() {
  const json status = read_status(glance_.folder).value_or(json::object());
  glance_.state = text_in(status, "state");
  glance_.sentence = text_in(status, "sentence");
  glance_.stage = text_in(status, "stage");
  glance_.started = text_in(status, "started");
  glance_.updated = text_in(status, "updated");
  glance_.seconds = number_in(status, "seconds");
  const auto code = number_in(status, "exit_code");
  glance_.exit_code = code && *code >= 0 && *code < 256 ? std::optional(static_cast<int>(*code)) : std::nullopt;
}

void RunWatcher::take(const RunRecord& more) {
  if (!more.attempts.empty()) {
    glance_.attempts = more.attempts.back().attempt;
    glance_.stages.clear();
    steps_.clear();
  }
  for (const StageRecord& stage : more.stages)
    if (stage.attempt >= glance_.attempts) glance_.stages.push_back(stage);
  take_metrics(more);
  take_provenance(more.provenance);
  if (!more.layers.empty()) glance_.sparsity = sparsity_of(more.layers);
  if (!more.gates.empty()) {
    glance_.gates = more.gates;
    glance_.judged = true;
  }
}

void RunWatcher::take_metrics(const RunRecord& more) {
  for (std::size_t i = 0; i < more.metrics.size(); ++i) {
    MetricRecord metric = more.metrics[i];
    metric.name = without_round(metric.name);  // the model as it is: of the round under way
    if (glance_.last.size() < kMostSeries || glance_.last.contains(metric.name)) glance_.last[metric.name] = metric;
    if (metric.name != "training/loss" || metric.attempt < glance_.attempts) continue;
    steps_.emplace_back(more.wall_times[i], static_cast<double>(metric.step));
    if (steps_.size() > kSteps) steps_.pop_front();
  }
}

void RunWatcher::take_provenance(const json& provenance) {
  for (const auto& [key, value] : provenance.items()) {
    if (key.starts_with("bad_steps.") && bad_steps_.size() < kMostSeries) bad_steps_[key] = value.size();
    if (key == kSolverKey) glance_.fallbacks = list_in(value, "fallbacks").size();
    if (key != kResultsKey) continue;
    try {
      glance_.results = results_from_json(value);
    } catch (const StoreError&) {  // of a damaged journal; the other figures are still worth showing
    }
  }
  glance_.bad_steps = 0;
  for (const auto& [attempt, count] : bad_steps_) glance_.bad_steps += count;
}

void RunWatcher::judge_so_far() {
  if (!rules_) return;
  Measurements measured;
  measured.sparsity = glance_.sparsity;
  measured.perplexity_before = glance_.value("evaluation/before/perplexity");
  const bool by_task = !rules_->accuracy_task.empty();
  if (!by_task) measured.accuracy_before = glance_.value("evaluation/before/top1_accuracy");
  for (const char* model : kModels) {
    const std::string series = std::string("evaluation/") + model;
    if (!measured.perplexity_after) measured.perplexity_after = glance_.value(series + "/perplexity");
    if (!measured.accuracy_after && !by_task) measured.accuracy_after = glance_.value(series + "/top1_accuracy");
  }
  if (const auto packed = glance_.value("speed/packed/decode")) {
    measured.speed.emplace();
    measured.speed->packed.median = *packed;
    measured.speed->fp32.median = glance_.value("speed/fp32/decode").value_or(0);
    measured.speed->bf16.median = glance_.value("speed/bf16/decode").value_or(0);
  }
  glance_.gates = gate_records(judge(*rules_, measured));
  if (rules_->compression.threshold > 0) return;
  for (GateRecord& gate : glance_.gates)
    if (gate.name == "compression") gate.comparison = "by model size";  // which is not recorded before the end
}

void RunWatcher::measure_pace() {
  glance_.pace = std::nullopt;
  const RankState* root = glance_.root();
  if (root == nullptr || glance_.over()) return;
  if (root->place.phase != phase_) moves_.clear();
  phase_ = root->place.phase;
  const double now = glance_.heartbeat->time;
  if (moves_.empty() || moves_.back().first < now) moves_.emplace_back(now, static_cast<double>(root->place.done));
  while (moves_.front().first < now - kPaceOver_s) moves_.pop_front();
  glance_.pace = pace_of(moves_);
  // One look is enough for the training: its steps are in the journal.
  if (!glance_.pace && phase_.ends_with("fine-tune")) glance_.pace = pace_of(steps_);
}

}  // namespace tercet
