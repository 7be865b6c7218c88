// The compress job as a sequence of stages over one state. Each member named after a stage is collective and leaves
// what the next ones need; compress.cpp reads as the table of contents.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "allocation_report.hpp"
#include "export_settings.hpp"
#include "model_loader.hpp"
#include "remedies.hpp"
#include "rounds.hpp"
#include "run_directory.hpp"
#include "starting_points.hpp"
#include "storage_plan.hpp"
#include "tercet/artifact/packed_model.hpp"
#include "tercet/calib/calibrate.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/comm/stop_control.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/eval/task_score.hpp"
#include "tercet/gate/gates.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/report/results.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/run_file.hpp"
#include "tercet/store/work_log.hpp"
#include "tercet/text/dataset.hpp"
#include "tercet/track/trackers.hpp"
#include "tercet/train/student.hpp"
#include "tercet/train/trainer.hpp"
#include "watched_run.hpp"

namespace tercet::job {

class CompressJob {
 public:
  CompressJob(Runtime& runtime, Communicator& comm, JobConfig config);
  CommandResult run();
  void failed(const Error& error) const;  // writes status.json

 private:
  // compress_prepare.cpp
  void load_inputs();
  void check_planned_exports() const;  // of storage_; throws ConfigError
  void prepare_text();
  void measure_original();
  // compress_tasks.cpp
  void prepare_tasks();
  // `name` as for evaluate_here; the figures go into `place` of every task.
  void measure_tasks(const std::string& when, const std::string& name, const Decoder& model,
                     TaskResult TaskFigures::*place);
  std::optional<double> judged_accuracy(const TaskResult TaskFigures::*place, const Figures& figures) const;
  // compress_allocate.cpp
  void allocate_bits();
  void keep_choice(const BitChoices& choices, BitAllocation& allocation);
  std::vector<std::vector<double>> sensitivities(const BitChoices& choices);
  double selection_nll(const std::string& name, const Decoder& model);  // `name` as for evaluate_here
  void search_for_quality(const BitChoices& choices, const Frontier& frontier, BitAllocation& allocation);
  void compare_with_prediction();        // of the quantized model, before any tuning
  void compare_bytes_with_prediction();  // of the packed file
  void take_best(const LossSearch& search, const BitChoices& choices, BitAllocation& allocation);
  // compress_quantize.cpp
  void calibrate_layers();
  SolvingRun solving_run(const std::vector<ParameterPlan>& storage);
  // The original with its weights rounded or solved for these formats.
  Student quantized_student(std::vector<ParameterPlan> storage);
  Student continued_student() const;  // as the round before left it
  Residence residence() const { return streams_weights(config_) ? Residence::kStreamed : Residence::kResident; }
  std::filesystem::path streamed_folder() const { return directory_.work() / "streamed"; }
  const Decoder& start() const { return start_ ? *start_ : original_->decoder; }
  void quantize();
  void tune_each_block();
  TrainerCallbacks training_callbacks(const std::string& series, std::uint64_t first_sequence);
  void fine_tune();
  void polish_scales();
  // compress_inference.cpp
  void generate_text();
  void measure_decoding();
  void write_samples();
  // The outcome of `compute` on rank 0, or what an earlier attempt of the job found for the same `unit`.
  std::string found_once(const std::string& unit, const std::function<std::string()>& compute);
  // compress_publish.cpp
  void pack();
  void measure_packed();
  void check_handoff();
  // compress_verdict.cpp
  void judge();             // the round; adds to rounds_
  CommandResult publish();  // the round that is kept
  void record_kept(const RoundOutcome& kept);
  void remove_unfinished() const;
  // compress_rounds.cpp
  void check_stages();  // throws ConfigError where a stage cannot be made
  Round first_round();
  bool begin_round(Round round);
  void make_round();  // compress.cpp
  void give_up_round(const NumericError& error);
  std::optional<Round> next_round();
  std::optional<Round> plan_next_round();
  Round round_of(std::size_t stage) const;
  std::optional<Round> plan_remedy();
  std::string obstacle_to(const FormatChange& change) const;
  bool take_up_outcome();
  void take_start();
  void keep_round(bool another_follows);
  void settle_round(const RoundOutcome& outcome) const;
  bool has_several_rounds() const;
  void say_rounds(bool over);            // in the run file, and from now on in status.json
  std::uint64_t first_sequence() const;  // of the training sequences of this round

  template <typename Body>
  void stage(const std::string& name, Body body);
  void record_ranks();
  void record_bad_step(const BadStep& bad);
  void record(const std::string& name, std::int64_t step, double value, const std::string& unit);
  void record_evaluation(const std::string& when, const Evaluation& evaluation);
  EvaluationOptions evaluation_options(const std::string& name);  // `name` prefixes its finished units
  // `name` says what is measured, with all that the figures depend on besides the run's settings and inputs.
  Evaluation evaluate_here(const std::string& name, const Decoder& model, const Decoder* reference);
  double selection_loss();  // of the student as it is
  void export_once(const std::string& place, const std::string& made_by,
                   const std::function<void(const std::filesystem::path&)>& write);
  Traits input_hashes() const;
  nlohmann::json provenance() const;
  nlohmann::json metadata(const Verdict& verdict) const;
  RunResults results() const;
  Measurements measurements(const RunResults& results) const;
  void settle();             // what is left to do after the publication
  CommandResult finished();  // of a run directory that has its verdict already
  void begin_trackers();     // with what earlier attempts recorded
  void say_status(const std::string& state, const std::string& sentence, std::optional<ExitCode> code = {},
                  const std::optional<Verdict>& verdict = {}) const;
  double elapsed() const;

  Runtime& runtime_;
  Communicator& comm_;
  JobConfig config_;  // of the round under way
  JobConfig asked_;   // of the job, once the defaults of the model's size are known
  std::chrono::steady_clock::time_point begin_;
  RunDirectory directory_;
  WatchedRun watched_;
  RunFile run_file_;
  std::unique_ptr<Trackers> trackers_;  // on rank 0, unless the run was complete
  StopControl stop_;
  std::unique_ptr<WorkLog> work_;  // once the inputs are known; of the round, when it has its own

  Round round_;                       // the one under way
  bool taken_up_ = false;             // an earlier attempt finished it
  std::vector<RoundOutcome> rounds_;  // finished
  nlohmann::json rounds_said_;        // null: there is one
  std::optional<Decoder> start_;      // what the round starts from; nullopt: the original

  std::optional<LoadedModel> original_;
  std::string model_hash_;
  std::optional<Dataset> dataset_;
  std::vector<Task> tasks_;
  std::vector<TaskFigures> task_figures_;  // of tasks_, in their order
  SpecialTokens special_tokens_;           // of the original's tokenizer, for tasks
  Windows windows_;                        // what quality is measured on
  Windows selection_windows_;              // what the best training state is chosen by
  std::vector<LayerStatistics> statistics_;
  std::vector<ParameterPlan> storage_;  // how each parameter is stored
  nlohmann::json allocation_;           // what the bits per layer were chosen by; null: they were not
  nlohmann::json solver_;               // what the solver said of the student; null: there was none
  std::optional<Student> student_;
  std::optional<TrainingResult> training_;
  std::vector<LayerRecord> layers_;
  Evaluation before_, quantized_, packed_;
  std::string packed_hash_;
  nlohmann::json export_choices_ = nlohmann::json::object();  // on rank 0: by export, what was chosen and why
  nlohmann::json bad_steps_ = nlohmann::json::array();
  nlohmann::json trits_, samples_;  // on rank 0
  std::uint64_t packed_bytes_ = 0, dequantized_bytes_ = 0;
  std::optional<double> agreement_;  // dequantized against packed
  Evaluation dequantized_;
  std::optional<DecodeSpeed> speed_;
  GradientFlow gradient_flow_;
  std::vector<std::string> handoff_problems_;
  double started_ = unix_time();
  std::string stage_;
};

}  // namespace tercet::job
