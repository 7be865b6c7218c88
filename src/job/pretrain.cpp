// tercet pretrain: a Llama-shaped model from random weights, by the same trainer, written as a Hugging Face folder.
#include <cmath>
#include <filesystem>
#include <utility>

#include "model_loader.hpp"
#include "run_directory.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/base/text.hpp"
#include "tercet/eval/evaluate.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/log/log.hpp"
#include "tercet/model_io/weights.hpp"
#include "text_sources.hpp"
#include "training_options.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;

// The folder's own parts, kept while the model trains: the tokenizer is needed first, the weights come last.
fs::path work_folder(const JobConfig& config) {
  return fs::path(config.output) / ".pretrain.tmp";
}

fs::path unfinished_text(const JobConfig& config) {
  return fs::path(config.output) / "work" / "tokens";
}

std::unique_ptr<Tokenizer> prepare_tokenizer(Communicator& comm, const JobConfig& config) {
  on_root(comm, [&] {
    fs::create_directories(work_folder(config));
    fs::remove(job::RunDirectory::stop_request_of(config.output));
    if (config.pretrain.tokenizer.empty()) {
      write_byte_tokenizer(work_folder(config));
    } else {
      copy_tokenizer(config.pretrain.tokenizer, work_folder(config));
    }
    return std::string();
  });
  std::unique_ptr<Tokenizer> tokenizer;
  on_every_rank(comm, [&] { tokenizer = open_tokenizer(work_folder(config)); });
  return tokenizer;
}

ModelConfig model_config(const JobConfig& config, const Tokenizer& tokenizer) {
  const PretrainSection& shape = config.pretrain;
  ModelConfig model;
  model.family = Family::kLlama;
  model.vocab_size = tokenizer.vocab_size();
  model.hidden_size = shape.hidden_size;
  model.intermediate_size = shape.intermediate_size;
  model.layers = shape.layers;
  model.heads = shape.heads;
  model.kv_heads = shape.kv_heads;
  model.head_dim = shape.hidden_size / shape.heads;
  model.max_positions = shape.max_positions;
  model.tied_head = shape.tied_head;
  model.eos_token = tokenizer.eos_token();
  model.bos_token = tokenizer.eos_token();
  model.json = llama_config_json(model);
  return model;
}

std::string write_folder(const JobConfig& config, const Student& student) {
  const fs::path staged = work_folder(config);
  NamedTensors tensors;
  for (const TrainedParameter& parameter : student.parameters()) {
    tensors.emplace_back(parameter.name, parameter.master.detach().to(at::kCPU).contiguous());
  }
  write_file_atomically(staged / "config.json", student.decoder().config().json);
  write_safetensors(staged / "model.safetensors", tensors, {{"producer", "tercet pretrain"}});
  for (const auto& entry : fs::directory_iterator(staged)) {
    fs::rename(entry.path(), fs::path(config.output) / entry.path().filename());
  }
  fs::remove(staged);
  fs::remove_all(unfinished_text(config).parent_path());
  sync_path(config.output);
  return "";
}

void refuse_existing(const JobConfig& config) {
  if (config.output.empty())
    throw ConfigError("output is not set", "the model needs a folder", "write output: models/<name>");
  if (fs::exists(fs::path(config.output) / "model.safetensors")) {
    throw ConfigError("output '" + config.output + "' holds a model already", "nothing is overwritten",
                      "choose another output or remove the folder");
  }
}

}  // namespace

CommandResult pretrain(Runtime& runtime, Communicator& comm, JobConfig config) {
  catch_stop_signals();
  on_every_rank(comm, [&] { refuse_existing(config); });
  const std::unique_ptr<Tokenizer> tokenizer = prepare_tokenizer(comm, config);
  const ModelConfig shape = model_config(config, *tokenizer);
  StopControl stop(
      comm, {job::RunDirectory::stop_request_of(config.output), comm.is_root() ? allocation_end_time() : std::nullopt});
  DatasetOptions sources = job::dataset_options(config);
  sources.work = unfinished_text(config);
  sources.stop = &stop;
  const Dataset dataset = Dataset::prepare(comm, sources, *tokenizer);
  const job::EvaluationWindows windows = job::evaluation_windows(comm, config, dataset, *tokenizer);
  Decoder decoder = Decoder::random(shape, static_cast<std::uint64_t>(config.seed), runtime.device());
  const std::int64_t parameters = decoder.parameter_count();
  const std::vector<ParameterPlan> full_precision(decoder.parameters().size());
  Student student(std::move(decoder), full_precision);
  log::info("model: " + format_count(static_cast<std::uint64_t>(parameters)) +
            " parameters; text: " + format_count(dataset.training_tokens()) + " training tokens");

  TrainerCallbacks callbacks;
  callbacks.sample = [&](std::uint64_t index, std::span<std::int64_t> ids) { dataset.training_sample(index, ids); };
  callbacks.held_out_loss = [&] {
    return evaluate(comm, student.decoder(), windows.selection, {config.evaluation.batch, false}).nll;
  };
  std::vector<double> checkpoint_stalls;
  callbacks.on_checkpoint = [&](const CheckpointReport& report) { checkpoint_stalls.push_back(report.stall_s); };
  TrainerOptions options =
      job::training_options(config, runtime.device(), fs::path(config.output) / "checkpoints", fingerprint(config));
  options.stage = "pretrain";
  options.stop = &stop;
  const TrainingResult training = run_training(comm, student, nullptr, options, callbacks);
  const Evaluation quality = evaluate(comm, student.decoder(), windows.measured, {config.evaluation.batch, true});
  on_root(comm, [&] { return write_folder(config, student); });

  const double rate = static_cast<double>(training.tokens) / training.seconds;
  nlohmann::json json{{"model", config.output},
                      {"parameters", parameters},
                      {"tokens", training.tokens},
                      {"seconds", training.seconds},
                      {"tokens_per_second", rate},
                      {"steps", training.steps},
                      {"checkpoint_stall_seconds", checkpoint_stalls},  // of each one
                      {"perplexity", quality.perplexity},
                      {"top1_accuracy", quality.top1_accuracy}};
  const std::string text = "pretrained " + format_count(static_cast<std::uint64_t>(parameters)) + " parameters on " +
                           format_count(training.tokens) + " tokens in " + format_duration(training.seconds) +
                           ": held-out perplexity " + format_fixed(quality.perplexity, 4) + ", accuracy " +
                           format_fixed(quality.top1_accuracy, 4) + "\nmodel: " + config.output + "\n";
  return {ExitCode::kPassed, json, text};
}

}  // namespace tercet
