// tercet compress: the stages in their order, and what is recorded around each.
#include <sys/resource.h>

#include <utility>

#include "compress_job.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/report.hpp"

namespace tercet {
namespace job {

CompressJob::CompressJob(Runtime& runtime, Communicator& comm, JobConfig config)
    : runtime_(runtime),
      comm_(comm),
      config_(std::move(config)),
      begin_(std::chrono::steady_clock::now()),
      directory_(comm, config_),
      watched_(runtime.watchdog(), directory_.path()),
      run_file_(directory_.path(), comm.is_root()),
      stop_(comm, {directory_.stop_request(), comm.is_root() ? allocation_end_time() : std::nullopt}) {
  if (stop_.end_time())
    log::info("the batch system gives this job " + format_duration(*stop_.end_time() - unix_time()));
  run_file_.provenance("environment", environment_record());
}

void CompressJob::begin_trackers() {
  if (!comm_.is_root()) return;
  trackers_ = std::make_unique<Trackers>(config_, directory_.path());
  run_file_.tell([this](const RunRecord& news) { trackers_->take(news); });
}

double CompressJob::elapsed() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

template <typename Body>
void CompressJob::stage(const std::string& name, Body body) {
  const std::string label = round_.in_run_folder ? name : round_.name + ": " + name;
  stage_ = label;
  const heartbeat::Phase phase(label);
  if (stop_.due()) stop_.leave("the job, before '" + label + "',");
  log::info("==> " + label);
  StageRecord record{label, elapsed(), 0};
  say_status("running", label + " is under way");
  body();
  record.end_s = elapsed();
  run_file_.stage(record);
  log::info("    " + label + " took " + format_duration(record.end_s - record.begin_s));
}

void CompressJob::say_status(const std::string& state, const std::string& sentence, std::optional<ExitCode> code,
                             const std::optional<Verdict>& verdict) const {
  if (!comm_.is_root()) return;
  // While this rank was suspended, another may have ended the attempt and said why: this one was only woken to be
  // killed.
  if (has_ended(directory_.path(), run_file_.attempt())) return;
  RunStatus status;
  status.state = state;
  status.sentence = sentence;
  if (code) status.exit_code = static_cast<int>(*code);
  status.stage = stage_;
  status.attempt = run_file_.attempt();
  status.started = started_;
  status.updated = unix_time();
  status.verdict = verdict;
  status.rounds = rounds_said_;
  if (code == ExitCode::kStopped) status.stop_reason = to_string(stop_.reason());
  write_status(directory_.path(), status);
  if (code && trackers_) trackers_->end(*status.exit_code);
}

void CompressJob::failed(const Error& error) const {
  say_status(state_of(error.exit_code()), error.what(), error.exit_code());
}

CommandResult CompressJob::run() {
  if (directory_.complete()) return finished();
  begin_trackers();
  stage("load the model", [&] { load_inputs(); });
  stage("prepare the text", [&] { prepare_text(); });
  stage("measure the original", [&] { measure_original(); });
  stage("calibrate", [&] { calibrate_layers(); });
  if (has_target(config_)) stage("allocate bits", [&] { allocate_bits(); });
  for (std::optional<Round> round = first_round(); round; round = next_round()) {
    if (begin_round(*round)) make_round();
  }
  record_ranks();
  return publish();
}

void CompressJob::make_round() try {
  stage("quantize", [&] { quantize(); });
  if (config_.blockwise.enabled && !round_.trains_on()) stage("tune blocks", [&] { tune_each_block(); });
  start_.reset();
  if (config_.training.enabled) stage("fine-tune", [&] { fine_tune(); });
  const bool polishes = config_.training.enabled && config_.training.polish_tokens > 0;
  if (polishes) stage("polish the scales", [&] { polish_scales(); });
  stage("pack", [&] { pack(); });
  stage("measure what was packed", [&] { measure_packed(); });
  stage("generate text", [&] { generate_text(); });
  stage("check the handoff", [&] { check_handoff(); });
  judge();
} catch (const NumericError& error) {
  give_up_round(error);
}

void CompressJob::record(const std::string& name, std::int64_t step, double value, const std::string& unit) {
  run_file_.metric({round_.in_run_folder ? name : "rounds/" + round_.name + "/" + name, step, value, unit});
}

void CompressJob::record_evaluation(const std::string& when, const Evaluation& evaluation) {
  record("evaluation/" + when + "/perplexity", 0, evaluation.perplexity, "1");
  record("evaluation/" + when + "/nll", 0, evaluation.nll, "nats");
  record("evaluation/" + when + "/top1_accuracy", 0, evaluation.top1_accuracy, "1");
  if (evaluation.kl) record("evaluation/" + when + "/kl", 0, *evaluation.kl, "nats");
  if (evaluation.top1_agreement) record("evaluation/" + when + "/top1_agreement", 0, *evaluation.top1_agreement, "1");
  log::info("    " + when + ": perplexity " + format_fixed(evaluation.perplexity, 4) + ", accuracy " +
            format_fixed(evaluation.top1_accuracy, 4));
}

EvaluationOptions CompressJob::evaluation_options(const std::string& name) {
  EvaluationOptions options;
  options.batch = config_.evaluation.batch;
  options.name = name;
  options.done = work_.get();
  options.stop = &stop_;
  return options;
}

Evaluation CompressJob::evaluate_here(const std::string& name, const Decoder& model, const Decoder* reference) {
  const std::string unit = "evaluate/" + name + "/" + std::to_string(config_.evaluation.batch);
  return evaluate(comm_, model, windows_, evaluation_options(unit), reference);
}

double CompressJob::selection_loss() {
  return evaluate(comm_, student_->decoder(), selection_windows_, {config_.evaluation.batch, false}).nll;
}

void CompressJob::record_ranks() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double rate = training_ && training_->seconds > 0
                          ? static_cast<double>(training_->tokens) / training_->seconds / comm_.size()
                          : 0.0;
  const nlohmann::json mine{{"host", host_name()},
                            {"device", runtime_.device()},
                            {"peak_memory_bytes", static_cast<double>(usage.ru_maxrss) * 1024},
                            {"tokens_per_second", rate}};
  const std::vector<std::string> wires = comm_.all_gather(mine.dump());
  if (!comm_.is_root()) return;
  std::vector<RankRecord> table;
  for (const std::string& wire : wires) {
    const auto json = nlohmann::json::parse(wire);
    table.push_back({static_cast<int>(table.size()), json.at("host"), json.at("device"), json.at("peak_memory_bytes"),
                     json.at("tokens_per_second")});
  }
  run_file_.ranks(table);
}

}  // namespace job

CommandResult compress(Runtime& runtime, Communicator& comm, JobConfig config) {
  on_every_rank(comm, [&] {
    require_keys(config, {"model.path", "output", "data.sources"});
    use_instruction_set(config.kernels.instruction_set);
  });
  catch_stop_signals();
  job::CompressJob job(runtime, comm, std::move(config));
  try {
    return job.run();
  } catch (const Error& error) {
    job.failed(error);
    throw;
  }
}

}  // namespace tercet
