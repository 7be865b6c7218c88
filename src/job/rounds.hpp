// A compress job is a list of rounds: each quantizes, tunes, packs, measures and judges a model. Usually there is one;
// progressive compression has one for each stage, and a remedy adds one (docs/progressive.md). Nothing here computes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "storage_plan.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/report/results.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::job {

struct Round {
  std::string name;           // "2-int4": its folder, and what its figures are recorded under
  bool in_run_folder = true;  // or its files lie in the run folder itself, its figures under their plain names
  std::size_t stage = 0;      // of progressive.formats
  std::string starts_from;    // the round whose weights it starts from; "": the original's
  std::string remedy;         // more_training | lift_layers | group_size; "": none, it is the stage's own
  std::string because, did;   // of a remedy: what had failed, and what was changed
  QuantizationSection quantization;
  std::vector<ParameterPlan> storage;  // formats, without calibration
  std::int64_t tokens = 0, polish_tokens = 0;

  bool trains_on() const { return remedy == "more_training"; }  // the model stays as it is stored
};

// What a round came to: enough for every report, and for deciding what comes next.
struct RoundOutcome {
  Round round;
  RunResults results;
  std::vector<GateRecord> gates;
  std::vector<LayerRecord> layers;
  nlohmann::json trits, solver, samples;  // as recorded; null: none
  std::uint64_t tokens = 0;               // that it was trained on
  double seconds = 0;                     // of that training, in all attempts
  std::string error;                      // what ended it before there was an artifact; "": nothing did
  std::string afterwards;                 // why a remedy followed, or none did

  bool passed() const;
  std::vector<std::string> failed_gates() const;  // of severity fail
  std::string failure() const;  // "perplexity 0.31, wants <= 0.1; sparsity 0.5, wants 0.25 to 0.45", or the error
};

bool is_progressive(const JobConfig& config);
bool may_have_several_rounds(const JobConfig& config);
QuantizationSection settings_of_stage(const JobConfig& config, std::size_t stage);
// The round of a stage, not yet with its storage. `number` counts rounds from 1.
Round round_of_stage(const JobConfig& config, std::size_t stage, std::size_t number, const std::string& starts_from);
// Of a stage that failed: whether one of fewer bits can do better, which is so where the size alone is at fault.
bool next_stage_may_pass(const RoundOutcome& outcome);

// The last that passed. If none did, the one with the fewest failed gates, of those the one with the least perplexity.
std::size_t round_to_keep(const std::vector<RoundOutcome>& rounds);
// What became of the job, e.g. "2-int4 is kept; 3-ternary failed: perplexity 0.31, wants <= 0.1".
std::string sentence_of(const std::vector<RoundOutcome>& rounds);

// What the run file, status.json and the metadata say of them (docs/formats.md); `over`: the last of them is finished.
nlohmann::json rounds_record(const JobConfig& config, const std::vector<RoundOutcome>& rounds, const Round& under_way,
                             bool over);

// What an outcome leaves on disk; the round itself is planned anew.
nlohmann::json to_json(const RoundOutcome& outcome);
RoundOutcome outcome_from_json(const Round& round, const nlohmann::json& object);  // throws StoreError

}  // namespace tercet::job
