// What each command of the program does. All are collective over the communicator; results come back as JSON (the same
// on every rank, shown by app on rank 0) with a text for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tercet/base/error.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/config/family_config.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/config/study_config.hpp"

namespace tercet {

struct CommandResult {
  ExitCode code = ExitCode::kPassed;
  nlohmann::json json;
  std::string text;
};

// The whole job: load, measure, calibrate, quantize, fine-tune, pack, re-read, measure again, judge, publish. On an
// existing run directory of the same job it goes on from what is there.
CommandResult compress(Runtime& runtime, Communicator& comm, JobConfig config);

struct PlanRequest {
  int world_size = 0;         // pretended ranks; 0: those that there are
  int ranks_per_node = 0;     // 0: as many as share a node now
  double node_memory_gb = 0;  // of a node of the job; 0: this machine's
  double step_seconds = 0;    // of one rank with one micro-batch; 0: measured
  double bandwidth_gbps = 0;  // of one rank's link, Gbit/s; 0: measured between the ranks that there are, or assumed
  double latency_us = -1;     // of one message; negative: likewise
  double disk_mb_s = 0;       // that all ranks write together, MB/s; 0: measured
};

// Checks what can be checked without doing the work: settings, shares of every rank, memory, bytes on disk, time of a
// step on 1 to N ranks. Throws one ConfigError for everything that would keep the job from running.
CommandResult plan(Runtime& runtime, Communicator& comm, JobConfig config, const PlanRequest& request);

// Trains a Llama-shaped model from scratch and writes a Hugging Face folder to config.output.
CommandResult pretrain(Runtime& runtime, Communicator& comm, JobConfig config);

struct EvaluateRequest {
  std::filesystem::path model;      // Hugging Face folder, run, artifact folder or packed .pt
  std::string weights = "dense";    // of an artifact's blocks: packed | dense (dequantized first, as compress does)
  std::filesystem::path against;    // empty: none
  std::filesystem::path data;       // held-out text; empty: only tasks
  std::vector<std::string> tasks;   // "hellaswag=FILE" (eval/task.hpp)
  std::int64_t limit = 0;           // documents of each file of a task; 0: all
  std::filesystem::path samples;    // where each document's scores are written; empty: nowhere
  std::filesystem::path tokenizer;  // empty: the model's
  std::int64_t sequence_length = 256;
  std::int64_t windows = 200;  // 0: all
  std::int64_t batch = 8;      // windows, or sequences of a task, in one forward pass
};
// Throws ConfigError when there is neither text nor a task.
CommandResult evaluate_model(Runtime& runtime, Communicator& comm, const EvaluateRequest& request);

struct GenerateRequest {
  std::filesystem::path model;      // Hugging Face folder, run, artifact folder or packed .pt
  std::filesystem::path tokenizer;  // empty: the model's
  std::string prompt;
  std::string weights = "auto";  // of an artifact: packed | dense (dequantized first) | auto (packed)
  std::int64_t tokens = 128;
  double temperature = 0, top_p = 1;
  std::int64_t top_k = 0;
  std::int64_t seed = 42;
  bool to_the_end = false;  // go on behind the end-of-text token
  bool stream = true;       // write the text to stdout while it comes
};
// On rank 0 alone; the others wait.
CommandResult generate_text(Runtime& runtime, const GenerateRequest& request);

struct BenchRequest {
  std::filesystem::path model, against;  // `against` empty: alone
  std::int64_t prompt_tokens = 128, new_tokens = 64, repetitions = 5;
};
// Prefill and decode speed of a model: an artifact by its packed weights and dequantized in fp32, and `against` in fp32
// and bf16, or, where that is empty, the artifact dequantized in bf16; taking turns. On rank 0 alone.
CommandResult bench(Runtime& runtime, const BenchRequest& request);

// Runs the elements of a family file as jobs of their own on this node, or tells about them. Not collective: refuses
// to run as an MPI rank.
struct FamilyRequest {
  std::filesystem::path file;
  std::string night;  // names the folders of this night; empty: today's date
  bool list = false, count = false, summary = false, markdown = false;
  std::optional<std::int64_t> element;  // this one only
};
CommandResult family(Runtime& runtime, const FamilyRequest& request);

// Runs the rows of a study file, each with every seed, as jobs of their own on this node, and writes what came out as
// tables and plots (docs/studies.md). Not collective: refuses to run as an MPI rank.
struct StudyRequest {
  std::filesystem::path file;
  std::vector<std::string> overrides;  // "a.b=c"
  bool summary = false;                // only the tables, of what there is
};
CommandResult study(Runtime& runtime, const StudyRequest& request);

CommandResult inspect(const std::filesystem::path& path);  // model, artifact or run
CommandResult verify(const std::filesystem::path& artifacts);
// Asks the job under way in `run` to save and end; does not wait for it. Throws ConfigError when there is none.
CommandResult stop(const std::filesystem::path& run);

struct ReportRequest {
  std::filesystem::path run;
  bool rebuild = false;        // run.h5 from the journal first
  std::string show = "text";   // what is printed: text, markdown, or as CSV "layers" or "metrics"
  bool writes_html = false;    // a page for people, too
  std::filesystem::path html;  // where; empty: report.html in the run folder, as far as that can be written
  std::filesystem::path tensorboard, wandb;  // folders for these programs' files; empty: none (docs/trackers.md)
  std::string mlflow, mlflow_experiment = "tercet";  // address of a server that the run is sent to; empty: none
};
CommandResult report(const ReportRequest& request);

struct WatchRequest {
  std::filesystem::path run;
  bool once = false;
  bool quiet = false;     // show nothing on the way
  double interval_s = 0;  // between two pictures; 0: 2 s on a terminal, otherwise 30 s
};
// Shows a run until it ends; the result has its exit code, kInternal when it gave no sign of life for ten minutes. With
// `once` a run under way counts as passed. Writes nothing into the run.
CommandResult watch(Runtime& runtime, const WatchRequest& request);
CommandResult list_runs(const std::filesystem::path& folder);  // every run at and below it

struct DashboardRequest {
  std::filesystem::path folder;
  std::string host = "127.0.0.1";
  int port = 8420;    // 0: any that is free
  std::string token;  // empty: none on a loopback address, otherwise one made at random
};
// Shows the runs of a folder as pages in a browser until a signal comes. Writes nothing into them.
CommandResult show_dashboard(Runtime& runtime, const DashboardRequest& request);

// Version, commit, compiler, libraries and what was built in.
nlohmann::json build_information();

}  // namespace tercet
