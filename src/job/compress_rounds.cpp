// The rounds of the compress job: what comes next, what each starts from, and what of it is kept so that an attempt
// that comes later takes it up.
#include <filesystem>
#include <utility>

#include "compress_job.hpp"
#include "round_weights.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/base/text.hpp"
#include "tercet/log/log.hpp"
#include "tercet/store/checkpoint.hpp"

namespace tercet::job {

namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kLargestOutcome = 256 << 20;
constexpr const char* kOutcomeFile = "outcome.json";

void scale_learning_rates(TrainingSection& training, const TrainingSection& asked, double factor) {
  training.learning_rate = factor * asked.learning_rate;
  training.matrix_learning_rate = factor * asked.matrix_learning_rate;
  training.muon_learning_rate = factor * asked.muon_learning_rate;
}

}  // namespace

// Said before anything is computed.
void CompressJob::check_stages() {
  for (std::size_t stage = 0; stage < config_.progressive.formats.size(); ++stage) {
    storage_ = plan_storage(settings_of_stage(config_, stage), original_->decoder.parameters());
    check_planned_exports();
  }
}

bool CompressJob::has_several_rounds() const {
  return is_progressive(config_) || !round_.starts_from.empty();
}

void CompressJob::say_rounds(bool over) {
  rounds_said_ = rounds_record(asked_, rounds_, round_, over);
  run_file_.provenance(kRoundsKey, rounds_said_);
}

Round CompressJob::round_of(std::size_t stage) const {
  Round round = round_of_stage(asked_, stage, rounds_.size() + 1, rounds_.empty() ? "" : rounds_.back().round.name);
  const bool chosen = has_target(asked_);
  round.storage = chosen ? storage_ : plan_storage(round.quantization, original_->decoder.parameters());
  return round;
}

Round CompressJob::first_round() {
  asked_ = config_;
  return round_of(0);
}

// False when an earlier attempt finished the round: then it is one of rounds_ already.
bool CompressJob::begin_round(Round round) {
  round_ = std::move(round);
  config_.quantization = round_.quantization;
  config_.training.tokens = round_.tokens;
  config_.training.polish_tokens = round_.polish_tokens;
  if (!round_.remedy.empty()) scale_learning_rates(config_.training, asked_.training, asked_.remedies.learning_rate);
  storage_ = round_.storage;
  student_.reset();
  training_.reset();
  solver_ = round_.trains_on() ? rounds_.back().solver : nlohmann::json();
  if (!round_.in_run_folder) directory_.enter_round(round_.name);
  if (take_up_outcome()) return false;
  if (has_several_rounds()) {
    log::info("==> round " + round_.name + (round_.remedy.empty() ? "" : ", " + round_.remedy + ": " + round_.did));
    say_rounds(false);
  }
  if (!round_.in_run_folder)
    work_ = std::make_unique<WorkLog>(comm_, directory_.round_work(), directory_.fingerprint());
  if (!round_.starts_from.empty()) take_start();
  return true;
}

void CompressJob::take_start() {
  const fs::path folder = directory_.of_round(round_.starts_from);
  const auto saved = load_newest_checkpoint(comm_, folder / "weights", directory_.fingerprint());
  if (!saved) {
    throw StoreError("the weights of round '" + round_.starts_from + "' cannot be read",
                     "'" + (folder / "weights").string() + "' has none that are sound",
                     "remove '" + folder.string() + "' and start again: that round is then computed anew");
  }
  start_.emplace(with_weights(original_->decoder, saved->tensors));
  const bool was_trained = config_.training.enabled || config_.blockwise.enabled;
  if (!round_.remedy.empty() && was_trained)
    take_seen_values(*start_, saved->tensors, rounds_.back().round.storage, storage_);
  if (round_.trains_on()) add_saved_calibration(original_->decoder.parameters(), saved->tensors, storage_);
}

// Training goes on with the text that follows what the rounds before it have seen.
std::uint64_t CompressJob::first_sequence() const {
  std::uint64_t tokens = 0;
  for (const RoundOutcome& outcome : rounds_) tokens += outcome.tokens;
  return tokens / static_cast<std::uint64_t>(config_.data.sequence_length);
}

// A round whose numbers cannot be computed has failed like any other, where an earlier one has left an artifact. To be
// called while the error is handled.
void CompressJob::give_up_round(const NumericError& error) {
  if (rounds_.empty()) throw;
  log::warn("round " + round_.name + " has failed: " + error.what());
  RoundOutcome outcome;
  outcome.round = round_;
  outcome.error = error.what();
  rounds_.push_back(std::move(outcome));
}

std::optional<Round> CompressJob::next_round() {
  const bool finished_here = !taken_up_;
  const std::optional<Round> next = plan_next_round();
  if (finished_here && (next || has_several_rounds())) {
    keep_round(next.has_value());
    say_rounds(false);
  }
  return next;
}

std::optional<Round> CompressJob::plan_next_round() {
  const RoundOutcome& last = rounds_.back();
  const std::size_t next_stage = last.round.stage + 1;
  const bool has_next_stage = next_stage < asked_.progressive.formats.size();
  if (!last.passed() && last.error.empty()) {
    if (std::optional<Round> remedy = plan_remedy()) return remedy;
  }
  if (has_next_stage && (last.passed() || next_stage_may_pass(last))) return round_of(next_stage);
  return std::nullopt;
}

// The outcome says that the round is finished; what it names was written before, but for the last step, which
// settle_round() makes up for.
void CompressJob::keep_round(bool another_follows) {
  const RoundOutcome& outcome = rounds_.back();
  const fs::path folder = directory_.of_round(outcome.round.name);
  if (another_follows) {
    save_checkpoint(comm_, {folder / "weights", 1, false}, 0, weights_of(*student_),
                    {{"fingerprint", directory_.fingerprint()}});
  }
  on_root(comm_, [&] {
    fs::create_directories(folder);
    write_file_atomically(folder / kOutcomeFile, to_json(outcome).dump() + "\n");
    settle_round(outcome);
    return std::string();
  });
}

// On rank 0.
void CompressJob::settle_round(const RoundOutcome& outcome) const {
  const fs::path target = directory_.of_kept(outcome.round.name, outcome.passed());
  if (fs::exists(directory_.staged()) && !fs::exists(target)) publish_directory(directory_.staged(), target);
  std::error_code ignored;
  if (!outcome.round.in_run_folder) {
    for (const fs::path& done : {directory_.round_work(), directory_.checkpoints(), directory_.polish_checkpoints()})
      fs::remove_all(done, ignored);
  }
  if (!outcome.round.starts_from.empty())
    fs::remove_all(directory_.of_round(outcome.round.starts_from) / "weights", ignored);
}

bool CompressJob::take_up_outcome() {
  const fs::path file = directory_.of_round(round_.name) / kOutcomeFile;
  const std::string text = on_root(comm_, [&] { return fs::exists(file) ? read_file(file, kLargestOutcome) : ""; });
  taken_up_ = !text.empty();
  if (!taken_up_) return false;
  on_every_rank(comm_, [&] { rounds_.push_back(outcome_from_json(round_, parse_json_object(text, file.string()))); });
  on_root(comm_, [&] {
    settle_round(rounds_.back());
    return std::string();
  });
  log::info("round " + round_.name + " was finished by an earlier attempt");
  return true;
}

// --- remedies -----------------------------------------------------------------------------------------------------

std::optional<Round> CompressJob::plan_remedy() {
  RoundOutcome& last = rounds_.back();
  const auto& parameters = original_->decoder.parameters();
  const FormatChange lift =
      lift_layers(last.round.quantization, parameters, last.round.storage, last.layers, asked_.remedies.lift_share);
  const FormatChange halved = halve_groups(parameters, last.round.storage);
  RemedyRequest request{asked_.remedies.rounds, asked_.remedies.order, last.failed_gates(), {}, {}, {}};
  for (const RoundOutcome& outcome : rounds_) {
    if (outcome.round.remedy.empty()) continue;
    request.tried.push_back(outcome.round.remedy);
    if (outcome.round.stage == last.round.stage) request.at_this.push_back(outcome.round.remedy);
  }
  request.obstacle = [&](const std::string& remedy) {
    if (remedy == "more_training") return std::string(asked_.training.enabled ? "" : "training.enabled is false");
    return obstacle_to(remedy == "lift_layers" ? lift : halved);
  };
  const RemedyChoice choice = choose_remedy(request);
  last.afterwards = choice.reason;
  if (!choice.reason.empty()) log::info("    " + choice.reason);
  if (choice.remedy.empty()) return std::nullopt;
  Round round = last.round;
  round.name = std::to_string(rounds_.size() + 1) + "-" + choice.remedy;
  round.in_run_folder = false;
  round.starts_from = last.round.name;
  round.remedy = choice.remedy;
  round.because = last.failure();
  round.tokens = tokens_of_remedy(asked_);
  round.polish_tokens = 0;
  round.did = round.trains_on() ? format_count(static_cast<std::uint64_t>(round.tokens)) + " tokens more" : lift.did;
  if (choice.remedy == "lift_layers") round.storage = lift.storage;
  if (choice.remedy == "group_size") {
    round.did = halved.did;
    round.storage = halved.storage;
    round.quantization.group_size /= 2;
  }
  return round;
}

// Why the formats cannot be changed so; "": they can.
std::string CompressJob::obstacle_to(const FormatChange& change) const {
  if (change.storage.empty()) return "there is nothing left to change";
  const PackedModel model = unfilled_artifact(asked_, original_->decoder, change.storage);
  const auto problems = export_problems(asked_.exports.formats, model, export_settings(asked_, *original_));
  if (!problems.empty()) return problems.front();
  RunResults results = rounds_.back().results;
  results.packed_bytes = artifact_bytes(model).packed;
  const GateSetting& gate = asked_.gates.compression;
  const double ratio = results.ratio(results.baseline).value_or(0);
  if (gate.severity != "fail" || ratio >= gate.threshold) return "";
  return "the packed file would be only " + format_fixed(ratio, 2) + " times smaller, and the compression gate wants " +
         format_fixed(gate.threshold, 2);
}

}  // namespace tercet::job
