// The figures that a compression run ends with. The job fills them in and records them in the run file as provenance
// "results"; the table on the terminal, `tercet report` and compression_metadata.json are all made from them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tercet/gate/gates.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {

inline constexpr const char* kResultsKey = "results";        // of RunFile::provenance
inline constexpr const char* kAllocationKey = "allocation";  // with a target: docs/formats.md
inline constexpr const char* kRoundsKey = "rounds";          // with several rounds: docs/formats.md
// What the models make of one prompt, the likeliest token each time: {prompt, prompt_tokens, tokens, texts: [{model,
// text, tokens, ended}]} with the models "original", "packed", "dequantized".
inline constexpr const char* kSamplesKey = "samples";
inline constexpr const char* kSolverKey = "solver";  // {layers, fallbacks: [{name, reason}]}, only with a solver

struct Figures {              // of one model on the held-out text; nullopt: not measured
  std::optional<double> nll;  // nats per token
  std::optional<double> perplexity, accuracy;
  std::optional<double> agreement, kl;  // with the original model: top-1, nats per token
};

struct TaskResult {  // of one model on one task; nullopt: not measured, or the task has no such figure
  std::optional<double> accuracy, accuracy_stderr;
  std::optional<double> normalized_accuracy, normalized_accuracy_stderr;
  std::optional<double> perplexity;

  std::optional<double> metric(const std::string& name) const;  // "acc" | "acc_norm"
};

struct TaskFigures {
  std::string name, path, sha256;
  std::int64_t limit = 0;  // documents of each file; 0: all
  std::int64_t documents = 0;
  TaskResult before, packed;
};

struct FineTuning {
  std::int64_t steps = 0;
  double epochs = 0;  // tokens seen / tokens of the training text
  double seconds = 0;
};

struct RunResults {
  std::string baseline = "fp32";  // gates.compression.baseline
  std::int64_t parameters = 0;
  std::int64_t quantized_parameters = 0;                     // weights inside the blocks stored in less than 16 bits
  std::int64_t ternary_parameters = 0, zero_parameters = 0;  // those of them stored as trits; trits that are 0
  std::int64_t layers_quantized = 0;                         // matrices inside the blocks in less than 16 bits
  std::int64_t layers_compressed = 0;                        // tensors stored in less than 16 bits
  std::uint64_t fp32_bytes = 0, fp16_bytes = 0, file_bytes = 0, packed_bytes = 0, dequantized_bytes = 0;
  Figures before, quantized, packed;      // original; before fine-tuning; re-read from the packed file at the end
  std::optional<double> codec_agreement;  // top-1, dequantized against packed
  std::optional<bool> gradient_flow, handoff;
  std::vector<TaskFigures> tasks;
  std::string accuracy_task, accuracy_metric = "acc";  // gates.accuracy.task and .metric; "": next-token accuracy
  std::optional<FineTuning> fine_tuning;               // nullopt: there was none
  std::optional<DecodeSpeed> speed;                    // nullopt: nobody asked for it
  std::string speed_baseline = "faster";               // gates.speedup.baseline

  std::optional<double> sparsity() const;                               // zeros / ternary weights
  std::optional<double> ratio(const std::string& baseline_name) const;  // "fp32" | "fp16" | "file"
};

// "acc", "acc_stderr", "acc_norm", "acc_norm_stderr", "perplexity": those that there are.
nlohmann::json to_json(const TaskResult& result);
nlohmann::json to_json(const TaskFigures& figures);
nlohmann::json to_json(const std::vector<TaskFigures>& tasks);
nlohmann::json to_json(const DecodeSpeed& speed);
DecodeSpeed speed_from_json(const nlohmann::json& object);  // throws json::exception or DataError
nlohmann::json to_json(const RunResults& results);
RunResults results_from_json(const nlohmann::json& object);  // throws StoreError when it is not that

// The gate module's results and the run file's records are twins; these are the only conversions.
std::vector<GateRecord> gate_records(const Verdict& verdict);
Verdict verdict_of(const std::vector<GateRecord>& records);

}  // namespace tercet
