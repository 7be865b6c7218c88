// tercet plan: what a job will need, found without doing it.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include "model_loader.hpp"
#include "storage_plan.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/text.hpp"
#include "tercet/job/commands.hpp"
#include "text_sources.hpp"
#include "training_options.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

struct MemoryPlan {
  std::uint64_t teacher = 0, student = 0, gradients = 0, optimizer = 0, best_state = 0, activations = 0;
  std::uint64_t total() const { return teacher + student + gradients + optimizer + best_state + activations; }
};

// Activations kept for the backward pass, per token: about 18 hidden-size and 5 intermediate-size values per block in
// four bytes, attention probabilities not stored, and logits of student and teacher with their gradient.
std::uint64_t activation_bytes(const ModelConfig& model, const TrainerOptions& training) {
  const std::int64_t tokens = training.micro_batch * training.sequence_length;
  const std::int64_t per_token =
      model.layers * (18 * model.hidden_size + 5 * model.intermediate_size) + 3 * model.vocab_size;
  return static_cast<std::uint64_t>(4 * tokens * per_token);
}

MemoryPlan plan_memory(const Decoder& decoder, const JobConfig& config, const TrainerOptions& training) {
  const auto weights = 4 * static_cast<std::uint64_t>(decoder.parameter_count());
  MemoryPlan plan;
  plan.teacher = weights;
  plan.student = 2 * weights;  // masters and the values forward sees
  plan.activations = activation_bytes(decoder.config(), training);
  if (!config.training.enabled) return plan;
  plan.gradients = weights;
  plan.best_state = weights;
  std::uint64_t matrices = 0;
  for (const Parameter& parameter : decoder.parameters()) {
    if (is_block_linear(parameter.role)) matrices += 4 * static_cast<std::uint64_t>(parameter.value.numel());
  }
  const bool muon = config.training.optimizer == "mugrokfast";
  plan.optimizer = muon ? 2 * matrices + 2 * (weights - matrices) : 2 * weights;
  if (muon && config.training.grokfast_lambda != 0) plan.optimizer += weights;
  return plan;
}

// Seconds of one micro-batch of training on this rank, measured.
double measure_micro_batch(Communicator& comm, const Decoder& teacher, const std::vector<ParameterPlan>& storage,
                           int activation_bits, TrainerOptions options) {
  Decoder copy = teacher.clone();
  copy.set_activation_bits(activation_bits);
  Student student(std::move(copy), storage);
  options.sequences_per_step = options.micro_batch * comm.size();
  options.schedule.total_steps = 2;
  options.checkpoint_every = 0;
  TrainerCallbacks callbacks;
  callbacks.sample = [&](std::uint64_t index, std::span<std::int64_t> ids) {
    for (std::size_t i = 0; i < ids.size(); ++i)
      ids[i] =
          static_cast<std::int64_t>((index * 31 + i * 7) % static_cast<std::uint64_t>(teacher.config().vocab_size));
  };
  double last = 0;  // of the second step: the first pays for warming up
  callbacks.on_step = [&](const StepRecord& step) {
    last = static_cast<double>(options.sequences_per_step * options.sequence_length) / step.tokens_per_second;
  };
  options.stage = "measure a step";
  run_training(comm, student, &teacher, options, callbacks);
  return last;
}

std::uint64_t host_memory() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
}

void check_sources(const JobConfig& config) {
  for (const SourceConfig& source : config.data.sources) {
    const bool pattern = source.path.find_first_of("*?") != std::string::npos;
    if (!pattern && !fs::exists(source.path))
      throw DataError("no text at '" + source.path + "'", "the path does not exist");
  }
  for (const std::string& file : config.data.evaluation) {
    if (!fs::exists(file)) throw DataError("no text at '" + file + "'", "the path does not exist");
  }
}

nlohmann::json as_json(const MemoryPlan& memory) {
  return {{"teacher", memory.teacher},     {"student", memory.student},       {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}, {"best_state", memory.best_state}, {"activations", memory.activations},
          {"total", memory.total()}};
}

std::string as_text(const nlohmann::json& json) {
  std::vector<std::vector<std::string>> memory{{"memory of one rank", "bytes"}};
  for (const auto& [name, bytes] : json.at("memory_per_rank").items()) memory.push_back({name, format_bytes(bytes)});
  std::vector<std::vector<std::string>> files{{"artifact", "bytes"}};
  for (const auto& [name, bytes] : json.at("artifacts").items()) files.push_back({name, format_bytes(bytes)});
  std::string text = "model: " + format_count(json.at("parameters")) + " parameters (" +
                     json.at("size_category").get<std::string>() + "), compression " +
                     format_fixed(json.at("expected_ratio_fp32"), 2) + "x against fp32, target " +
                     format_fixed(json.at("compression_target"), 0) + "x\n\n";
  text += format_table(memory) + "\n" + format_table(files) + "\n";
  text += "ranks: " + json.at("world_size").dump() +
          ", sequences of one step per rank: " + json.at("sequences_per_rank").dump() +
          ", steps: " + json.at("steps").dump() + "\n";
  text += "fine-tuning: about " + format_duration(json.at("expected_training_seconds")) + " at " +
          format_fixed(json.at("expected_tokens_per_second"), 0) +
          " tokens/s (one step measured here, other ranks taken as equal, communication not counted)\n";
  return text;
}

}  // namespace

CommandResult plan(Runtime& runtime, Communicator& comm, JobConfig config, int world_size) {
  std::optional<job::LoadedModel> model;
  std::vector<ParameterPlan> storage;
  TrainerOptions training;
  on_every_rank(comm, [&] {
    require_keys(config, {"model.path", "output", "data.sources"});
    check_sources(config);
    model.emplace(job::load_model(config.model.path, config.model.tokenizer, runtime.device()));
    job::check_positions(model->decoder.config(), config.data.sequence_length, "data.sequence_length");
    adapt_to_size(config, model->decoder.parameter_count());
    storage = job::plan_storage(config.quantization, model->decoder.parameters());
    training = job::training_options(config, runtime.device(), fs::path(config.output) / "checkpoints", "");
    const int ranks = world_size > 0 ? world_size : comm.size();
    if (training.sequences_per_step < ranks || config.calibration.shards < ranks) {
      throw ConfigError("the job cannot be shared out to " + std::to_string(ranks) + " ranks",
                        "a step has " + std::to_string(training.sequences_per_step) + " sequences, calibration " +
                            std::to_string(config.calibration.shards) + " shards",
                        "raise training.global_batch_tokens and calibration.shards, or start fewer ranks");
    }
  });
  const int ranks = world_size > 0 ? world_size : comm.size();
  const auto parameters = static_cast<std::uint64_t>(model->decoder.parameter_count());
  const MemoryPlan memory = plan_memory(model->decoder, config, training);
  const std::uint64_t packed = job::planned_bytes(model->decoder.parameters(), storage);
  const double micro_seconds =
      config.training.enabled ? measure_micro_batch(comm, model->decoder, storage,
                                                    static_cast<int>(config.quantization.activation_bits), training)
                              : 0;
  const std::int64_t sequences_per_rank = (training.sequences_per_step + ranks - 1) / ranks;
  const double step_seconds =
      micro_seconds * static_cast<double>(sequences_per_rank) / static_cast<double>(training.micro_batch);

  nlohmann::json json{{"parameters", parameters},
                      {"size_category", size_category(static_cast<std::int64_t>(parameters))},
                      {"compression_target", compression_target(static_cast<std::int64_t>(parameters))},
                      {"world_size", ranks},
                      {"memory_per_rank", as_json(memory)},
                      {"host_memory", host_memory()},
                      {"sequences_per_rank", sequences_per_rank},
                      {"steps", training.schedule.total_steps}};
  json["artifacts"] = {{job::kPackedFile, packed},
                       {job::kDequantizedFile, 2 * parameters},
                       {"hf/model.safetensors", 2 * parameters},
                       {"one checkpoint", memory.student / 2 + memory.optimizer + memory.best_state}};
  json["expected_ratio_fp32"] = 4.0 * static_cast<double>(parameters) / static_cast<double>(packed);
  json["expected_training_seconds"] =
      config.training.enabled ? step_seconds * static_cast<double>(training.schedule.total_steps) : 0.0;
  json["expected_tokens_per_second"] =
      step_seconds > 0 ? static_cast<double>(config.training.global_batch_tokens) / step_seconds : 0.0;
  json["free_space"] = free_space(config.output);
  return {ExitCode::kPassed, json, as_text(json)};
}

}  // namespace tercet
