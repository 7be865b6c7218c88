// The settings of a job as plain structs. Every field has one row in the schema table (config/schema.cpp), which holds
// its key, type, unit, range, default and a sentence, and from which docs/config.md is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tercet {

struct SourceConfig {
  std::string path;
  double weight = 1.0;
  std::string field = "text";
};

struct TaskConfig {  // eval/task.hpp
  std::string name;
  std::string path;        // file or folder in the published layout
  std::int64_t limit = 0;  // documents of each file; 0: all
};

// How the matrices that it names are stored. What is unset is as `quantization` has it for all.
struct LayerFormat {
  std::string match = {};  // pattern of parameter names ("*" and "?"); empty: any
  // query | key | value | fused_qkv | attention_output | gate | up | down | embedding | head; empty: any
  std::string role = {};
  std::string format = {};
  std::string granularity = {};
  std::optional<std::int64_t> group_size = {};
  std::string symmetric = {};  // true | false
  std::string rule = {};
};

struct ModelSection {
  std::string path;                  // Hugging Face folder
  std::string tokenizer;             // folder; empty: model.path
  std::string weights = "resident";  // resident | streamed
};

struct DataSection {
  std::vector<SourceConfig> sources;    // training and calibration text
  std::vector<std::string> evaluation;  // held-out files; empty: the held-out documents of the sources
  double held_out_fraction = 0.05;
  std::int64_t sequence_length = 256;
  std::string cache;  // folder of token files; empty: <output>/tokens
};

struct CalibrationSection {
  std::optional<std::int64_t> samples;  // sequences; default by size category: 500, 1000, 2000, 5000
  std::int64_t shards = 64;             // logical shards
  std::int64_t batch = 8;               // sequences in one forward pass of a shard
  bool second_moment = false;           // collect X'X
};

struct QuantizationSection {
  std::string format = "ternary";     // ternary | ternary5 | int2 | int3 | int4 | int6 | int8 | float16
  bool symmetric = true;              // integers: without zero points
  std::string granularity = "group";  // tensor | channel | group
  std::int64_t group_size = 128;
  std::string rule = "calibrated";     // absmean | least_squares | min_max | calibrated
  std::string embedding_bits = "8";    // 16 | 8 | 6 | 4 | ternary
  std::string head_bits = "8";         // the same, of untied heads
  std::int64_t table_group_size = 64;  // embedding and head below 8 bits
  std::int64_t activation_bits = 8;    // 8 | 16
  std::vector<std::string> skip;       // patterns of parameter names kept in fp16 ("*" and "?")
  std::vector<LayerFormat> layers;     // exceptions; the last that names a matrix counts
  std::string solver = "rounding";     // rounding | compensated
  double solver_damping = 0.01;        // share of the mean of the second moment's diagonal
  bool solver_act_order = true;
  std::int64_t solver_sweeps = 4;
  bool solver_sequential = true;  // blocks see the inputs that the quantized blocks before them give
};

// What automatic bits per layer have to reach: at most one is set, none: there is no allocation.
struct TargetSection {
  double perplexity_degradation = 0;  // (after - before) / before, of the quantized model before any tuning
  double size_mb = 0;                 // of the packed file, millions of bytes
  double ratio = 0;                   // of gates.compression.baseline to the packed file
  std::string like = "none";          // a format: the bytes of the model that has it in every layer
};

// What may be chosen, and what the choice goes by.
struct AllocationSection {
  std::vector<LayerFormat> formats = {{.format = "ternary"}, {.format = "int2"}, {.format = "int3"},
                                      {.format = "int4"},    {.format = "int6"}, {.format = "int8"}};
  std::vector<std::string> tables;  // bits of embedding and head that may be chosen; empty: as quantization has them
  std::string sensitivity = "kl";   // kl | error
  std::int64_t samples = 16;        // sequences that kl is measured on
  std::int64_t rounds = 6;          // of a perplexity target
};

// A job in stages, each with a smaller format than the one before it (docs/progressive.md).
struct ProgressiveSection {
  std::vector<LayerFormat> formats;  // of the stages, in their order; empty: one stage, as `quantization` says
  double last_share = 0.6;           // of training.tokens that the last stage gets; the others share the rest
};

// What is tried when a gate fails (docs/progressive.md).
struct RemediesSection {
  std::int64_t rounds = 0;        // budget; 0: none
  std::int64_t tokens = 1000000;  // budget of training in all these rounds together
  std::vector<std::string> order = {"more_training", "lift_layers", "group_size"};
  double learning_rate = 0.3;  // of a remedy's training, as a share of the step sizes of `training`
  double lift_share = 0.2;     // of the matrices inside the blocks, in one round
};

struct TrainingSection {
  bool enabled = true;
  std::int64_t tokens = 2000000;  // budget
  std::int64_t global_batch_tokens = 4096;
  std::int64_t micro_batch = 8;     // sequences of one forward pass on one rank
  std::string optimizer = "adamw";  // adamw | lion | mugrokfast
  double learning_rate = 1e-3;      // AdamW, Lion: all; MuGrokfast: embeddings, head, vectors
  double matrix_learning_rate =
      0.0;  // AdamW, Lion: matrices inside the blocks, of each one's mean magnitude; 0: as all
  double muon_learning_rate = 0.005;  // MuGrokfast: matrices inside the blocks
  double momentum = 0.95;             // Muon
  std::int64_t newton_schulz_steps = 5;
  double grokfast_alpha = 0.98;
  double grokfast_lambda = 0.0;
  double qk_clip = 0.0;  // largest attention logit allowed; 0: off
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  double gradient_clip = 1.0;  // global norm; 0: off
  double distillation = 0.5;   // weight of KL to the teacher; 1 - it is the weight of cross-entropy
  bool token_scaled_kl = false;
  double softening = 0.0;           // share of the steps with partly quantized weights
  double relation_loss = 0.0;       // gradient of the attention relations as a multiple of the rest's; 0: off
  std::int64_t relation_block = 1;  // whose relations, from the end
  double hidden_loss = 0.0;         // weight of the residual streams' distance from the teacher's; 0: off
  double warmup_fraction = 0.02;
  std::string schedule = "linear";            // constant | linear | two_stage | cosine
  double hold = 0.0;                          // share of the steps at the peak before it falls
  double second_stage_at = 0.5;               // two_stage: share of the steps after which it begins
  double second_stage_learning_rate = 0.667;  // two_stage: factor from there on
  double final_learning_rate = 0.0;           // share of the peak at the end
  bool bfloat16 = true;                       // autocast where the hardware has it
  std::int64_t polish_tokens = 0;             // budget of the training of scales alone that follows; 0: none
  double polish_learning_rate = 1e-4;
  std::int64_t evaluate_every = 0;  // steps; 0: ten times over the budget
  std::int64_t patience = 0;        // evaluations without improvement before stopping; 0: never
};

struct BlockwiseSection {
  bool enabled = false;
  std::int64_t samples = 512;     // sequences
  std::int64_t batch = 8;         // sequences of one step over all ranks
  std::int64_t epochs = 4;        // over the samples, for each block and part of it
  double learning_rate = 5e-4;    // AdamW
  std::int64_t window = 1;        // blocks tuned at once
  bool by_parts = false;          // query and key, value and attention output, MLP: one after the other
  double softening = 0;           // share of the steps over which weights harden
  std::int64_t scale_epochs = 0;  // then, for the scales alone
  double scale_learning_rate = 1e-4;
};

struct EvaluationSection {
  std::int64_t sequence_length = 256;
  std::int64_t windows = 200;  // 0: all
  std::int64_t batch = 8;      // windows, or sequences of a task, in one forward pass
  std::vector<TaskConfig> tasks;
};

// Has constructors because GCC 12 takes the default braces below for uninitialized text when it is an aggregate.
struct GateSetting {
  GateSetting() = default;
  GateSetting(std::string how_severe, double limit) : severity(std::move(how_severe)), threshold(limit) {}
  std::string severity = "fail";  // fail | warn | off
  double threshold = 0;
};

struct GatesSection {
  GateSetting compression{"fail", 0};         // 0: the size category's target (6, 8, 10, 12)
  std::string compression_baseline = "fp32";  // fp32 | fp16 | file
  GateSetting sparsity{"fail", 0.25};
  double sparsity_max = 0.45;
  GateSetting accuracy{"fail", 0.95};
  std::string accuracy_task;             // of evaluation.tasks; empty: next-token accuracy
  std::string accuracy_metric = "acc";   // acc | acc_norm, of the task
  GateSetting perplexity{"fail", 0.10};  // (after - before) / before
  GateSetting agreement{"fail", 0.995};  // dequantized against packed
  // Of what a clock says: another job on the node must not turn an artifact away, so it warns by itself.
  GateSetting speedup{"warn", 2};
  std::string speedup_baseline = "faster";  // faster | fp32 | bf16: form of the original
  double speedup_seconds = 5;               // that measuring may take, about
  GateSetting gradient_flow{"fail", 1};
  GateSetting handoff{"fail", 1};
};

struct ExportSection {
  std::vector<std::string> formats;  // gguf | hf-bitnet | compressed-tensors | kernels
  std::string gguf_type = "auto";    // auto | tq2_0 | tq1_0 | q2_0
  double shard_size_mb = 5000;       // largest safetensors file of an export
};

struct ReportSection {
  std::string sample_prompt;        // empty: the beginning of the held-out text
  std::int64_t sample_tokens = 48;  // 0: no samples
};

struct DistributedSection {
  std::string backend = "auto";  // auto | self | mpi | nccl
  std::string device = "auto";   // auto | cpu | cuda
  bool allow_shared_gpu = false;
  bool deterministic = false;
  std::int64_t threads_per_rank = 0;
  double bucket_mb = 4;  // gradient buckets
};

struct KernelsSection {
  std::string instruction_set = "auto";  // auto | portable | avx2 | avx512
};

struct WatchdogSection {
  double timeout_s = 600;
};

struct CheckpointSection {
  std::int64_t every_steps = 100;  // 0: none
  std::int64_t keep = 2;
  double lead_s = 120;
  bool asynchronous = true;
};

struct LogSection {
  std::string level = "info";  // debug | info | warn | error
  double interval_s = 10;
};

// Files for programs that follow many runs; empty or false: none.
struct TrackersSection {
  bool tensorboard = false;
  std::string prometheus;     // file (.prom) or folder
  std::string wandb_project;  // turns the W&B run on
  std::string wandb_entity;
  std::string wandb_name;  // empty: name of the job
};

// A model trained from scratch by `tercet pretrain`: Llama-shaped.
struct PretrainSection {
  std::int64_t hidden_size = 192;
  std::int64_t intermediate_size = 512;
  std::int64_t layers = 6;
  std::int64_t heads = 6;
  std::int64_t kv_heads = 3;
  std::int64_t max_positions = 512;
  bool tied_head = true;
  std::string tokenizer;  // folder; empty: byte-level, made on the spot
};

struct JobConfig {
  std::string name = "job";
  std::string output;  // run directory (compress) or model folder (pretrain)
  std::int64_t seed = 42;
  ModelSection model;
  DataSection data;
  CalibrationSection calibration;
  BlockwiseSection blockwise;
  QuantizationSection quantization;
  TargetSection target;
  AllocationSection allocation;
  ProgressiveSection progressive;
  RemediesSection remedies;
  TrainingSection training;
  EvaluationSection evaluation;
  GatesSection gates;
  ExportSection exports;
  ReportSection report;
  DistributedSection distributed;
  KernelsSection kernels;
  WatchdogSection watchdog;
  CheckpointSection checkpoint;
  LogSection log;
  TrackersSection trackers;
  PretrainSection pretrain;
  std::vector<std::string> allowed_changes;  // --allow-changed: keys that a started run may go on with
  std::vector<std::string> written;  // keys the user gave (file or --set): never overwritten by adaptive defaults
};

// Reads YAML, applies overrides ("a.b=c"; lists in YAML flow form), checks everything at once and throws one
// ConfigError that lists every mistake as file:line:column: key: problem; nearest valid key. Relative paths in the file
// are relative to the file's folder; in overrides, to the current one.
JobConfig load_job_config(const std::filesystem::path& file, const std::vector<std::string>& overrides);

// Throws one ConfigError for all of `keys` (e.g. "model.path") that hold an empty text or list: what a command needs.
void require_keys(const JobConfig& config, const std::vector<std::string>& keys);

// `settings` for the matrices that `row` names. Where the row changes the format and says no more, a rule that the
// format does not know becomes `calibrated`, and trits have no zero points.
QuantizationSection as_for(const QuantizationSection& settings, const LayerFormat& row);
bool is_ternary(const std::string& format);  // "ternary" or "ternary5"
bool takes_rule(const std::string& format, const std::string& rule);
bool has_target(const JobConfig& config);       // whether bits per layer are to be chosen
bool streams_weights(const JobConfig& config);  // model.weights: streamed

// What the last of progressive.formats gets of `tokens`, and what each of the others, in whole steps.
std::int64_t tokens_of_stage(const JobConfig& config, std::size_t stage, std::int64_t tokens);
std::int64_t tokens_of_remedy(const JobConfig& config);  // of each round, in whole steps

bool is_written(const JobConfig& config, std::string_view key);  // by the user

// Defaults by parameter count (tiny < 50 M, small < 500 M, medium < 2 B, large) for keys that were not written.
std::string size_category(std::int64_t parameters);  // "tiny", "small", "medium", "large"
double compression_target(std::int64_t parameters);  // 6, 8, 10, 12
void adapt_to_size(JobConfig& config, std::int64_t parameters);

std::string to_yaml(const JobConfig& config);  // resolved; loading it gives the same config
// Keys that change results, with their values as printed; what a run is identified by.
std::map<std::string, std::string> result_settings(const JobConfig& config);
std::map<std::string, std::string> all_settings(const JobConfig& config);  // every key, likewise
bool may_change_in_a_run(const std::string& key);                          // with --allow-changed
std::string fingerprint(const JobConfig& config);  // SHA-256 over keys that change results (not output, log,
                                                   // distributed, watchdog, checkpoint, trackers, name,
                                                   // data.cache)
std::string config_reference();                    // docs/config.md

}  // namespace tercet
