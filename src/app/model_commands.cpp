// Commands that use one model: evaluate, generate, bench.
#include <memory>

#include "invocation.hpp"
#include "tercet/log/log.hpp"

namespace tercet::app {
namespace {

CommandResult run_evaluate(Runtime& runtime, const Invocation& call) {
  Communicator& control = runtime.control();
  log::open({control.rank(), control.size(), log::Level::kInfo, {}, 10.0});
  warn_of_environment(control);
  CommOptions options;
  options.device = call.device;
  const std::unique_ptr<Communicator> comm = runtime.connect(options);
  return evaluate_model(runtime, *comm, call.evaluate);
}

// Commands that rank 0 does alone.
CommandResult run_on_root(Runtime& runtime, const Invocation& call, const std::function<CommandResult()>& command) {
  Communicator& control = runtime.control();
  log::open({control.rank(), control.size(), log::Level::kInfo, {}, 10.0});
  CommOptions options;
  // Where there are more ranks, a GPU might be too few for them, and they do nothing.
  options.device = call.device == "auto" && control.size() > 1 ? "cpu" : call.device;
  const std::unique_ptr<Communicator> comm = runtime.connect(options);  // settles the threads
  return command();
}

void add_device(CLI::App& command, Invocation& call) {
  command.add_option("--device", call.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
}

}  // namespace

void add_evaluate(CLI::App& app, Invocation& call) {
  CLI::App* command =
      app.add_subcommand("evaluate", "Held-out perplexity, accuracy and tasks of a model or an artifact");
  command->footer(
      "Example:\n  mpirun -n 2 tercet evaluate runs/demo/compressed --data heldout.txt --against runs/demo/model\n"
      "  tercet evaluate models/mine --task hellaswag=hellaswag_val.jsonl --task mmlu=mmlu/test --limit 100");
  EvaluateRequest& request = call.evaluate;
  command->add_option("model", request.model, "Hugging Face folder, run, artifact folder or packed .pt")->required();
  command->add_option("--data", request.data, "Text to evaluate on")->type_name("PATH");
  command->add_option("--task", request.tasks, "NAME=FILE of a task (may be repeated; docs/tasks.md)")
      ->type_name("NAME=FILE");
  command->add_option("--limit", request.limit, "Documents of each file of a task, 0 for all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command->add_option("--samples", request.samples, "Write the scores of each document of the tasks, as JSON lines")
      ->type_name("FILE");
  command->add_option("--against", request.against, "Also measure this model, agreement with it and divergence from it")
      ->type_name("PATH");
  command
      ->add_option("--weights", request.weights,
                   "How an artifact is multiplied: dense (dequantized first, as compress measures) or packed")
      ->check(CLI::IsMember({"dense", "packed"}))
      ->capture_default_str();
  command->add_option("--tokenizer", request.tokenizer, "Tokenizer folder, if not the model's own")
      ->type_name("FOLDER");
  command->add_option("--sequence-length", request.sequence_length, "Tokens of one window")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--windows", request.windows, "Windows, 0 for all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command->add_option("--batch", request.batch, "Windows, or sequences of a task, of one forward pass")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_device(*command, call);
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime& runtime) { return run_evaluate(runtime, call); }; });
}

void add_generate(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("generate", "Text from a model or an artifact");
  command->footer(
      "Example:\n  tercet generate runs/demo/compressed --prompt 'def main(' --tokens 64 --temperature 0.8");
  GenerateRequest& request = call.generate;
  const auto add = [&](const char* name, auto& value, const char* what) {
    return command->add_option(name, value, what)->capture_default_str();
  };
  command->add_option("model", request.model, "Hugging Face folder, run, artifact folder or packed .pt")->required();
  command->add_option("--prompt", request.prompt, "Text to go on from")->required();
  command->add_option("--tokenizer", request.tokenizer, "Tokenizer folder, if not the model's own")
      ->type_name("FOLDER");
  add("--tokens", request.tokens, "Tokens to add, at most")->check(CLI::Range(1, 1 << 20));
  add("--temperature", request.temperature, "0: always the likeliest token")->check(CLI::Range(0.0, 100.0));
  add("--top-k", request.top_k, "Choose among so many of the likeliest; 0: all")->check(CLI::Range(0, 1 << 30));
  add("--top-p", request.top_p, "Choose among the fewest that together have this probability")
      ->check(CLI::Range(0.0, 1.0));
  add("--seed", request.seed, "Another seed, another text");
  add("--weights", request.weights,
      "How an artifact is multiplied: packed (with int8 inputs), dense (dequantized first), or auto")
      ->check(CLI::IsMember({"auto", "packed", "dense"}));
  command->add_flag("--to-the-end", request.to_the_end, "Go on behind the end of the text");
  add_device(*command, call);
  add_common(*command, call);
  command->callback([&call] {
    call.generate.stream = !call.json;
    call.action = [&call](Runtime& runtime) {
      return run_on_root(runtime, call, [&] { return generate_text(runtime, call.generate); });
    };
  });
}

void add_bench(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("bench", "How fast an artifact generates, beside the original");
  command->footer("Example:\n  tercet bench runs/demo/compressed --against runs/demo/model");
  BenchRequest& request = call.bench;
  const auto add = [&](const char* name, auto& value, const char* what) {
    command->add_option(name, value, what)->capture_default_str()->check(CLI::Range(1, 1 << 20));
  };
  command->add_option("model", request.model, "Run, artifact folder, packed .pt or Hugging Face folder")->required();
  command->add_option("--against", request.against, "Also this model, in fp32 and in bf16")->type_name("PATH");
  add("--prompt-tokens", request.prompt_tokens, "Tokens of the prompt");
  add("--new-tokens", request.new_tokens, "Tokens generated after it");
  add("--repetitions", request.repetitions, "Repetitions, of which the median is shown");
  add_device(*command, call);
  add_common(*command, call);
  command->callback([&call] {
    call.action = [&call](Runtime& runtime) {
      return run_on_root(runtime, call, [&] { return bench(runtime, call.bench); });
    };
  });
}

}  // namespace tercet::app
