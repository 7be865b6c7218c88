#include "command_line.hpp"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "tercet/base/environment.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/log/log.hpp"

namespace tercet::app {
namespace {

namespace fs = std::filesystem;
using Action = std::function<CommandResult(Runtime&)>;

// Options that several commands share, and the command that was chosen.
struct Invocation {
  std::string path;
  std::vector<std::string> overrides;
  std::vector<std::string> allowed_changes;
  bool json = false;
  PlanRequest plan;
  ReportRequest report;
  WatchRequest watch;
  EvaluateRequest evaluate;
  GenerateRequest generate;
  BenchRequest bench;
  FamilyRequest family;
  std::string device = "auto";
  Action action;
};

log::Level log_level(const std::string& name) {
  if (name == "debug") return log::Level::kDebug;
  if (name == "warn") return log::Level::kWarn;
  if (name == "error") return log::Level::kError;
  return log::Level::kInfo;
}

CommOptions comm_options(const DistributedSection& settings) {
  CommOptions options;
  options.backend = settings.backend;
  options.device = settings.device;
  options.allow_shared_gpu = settings.allow_shared_gpu;
  options.deterministic = settings.deterministic;
  options.threads_per_rank = static_cast<int>(settings.threads_per_rank);
  return options;
}

// Collective. Says what the environment may do to the numbers, also where ranks differ in it.
void warn_of_environment(Communicator& comm) {
  const std::vector<std::string> warnings = comm.all_gather(environment_warning());
  if (!warnings.front().empty()) log::warn(warnings.front());
  for (std::size_t rank = 1; rank < warnings.size(); ++rank) {
    if (warnings[rank] == warnings.front()) continue;
    return log::warn("the environment of rank " + std::to_string(rank) + " differs from that of rank 0: " +
                     (warnings[rank].empty() ? "nothing of this is set there" : warnings[rank]));
  }
}

// Reads the configuration on every rank, opens logs, connects the ranks.
using JobCommand = CommandResult (*)(Runtime&, Communicator&, JobConfig);
CommandResult run_job(Runtime& runtime, const Invocation& call, bool writes_logs,
                      const std::function<CommandResult(Runtime&, Communicator&, JobConfig)>& command) {
  Communicator& control = runtime.control();
  JobConfig config;
  on_every_rank(control, [&] { config = load_job_config(call.path, call.overrides); });
  config.allowed_changes = call.allowed_changes;
  runtime.watchdog().set_timeout(config.watchdog.timeout_s);
  log::Options logging{control.rank(), control.size(), log_level(config.log.level), {}, config.log.interval_s};
  if (writes_logs && !config.output.empty()) {
    on_root(control, [&] {
      std::error_code error;
      fs::create_directories(fs::path(config.output) / "log", error);
      if (error) {
        throw StoreError("cannot write to the output folder '" + config.output + "'", error.message(),
                         "choose another output or check permissions");
      }
      return std::string();
    });
    logging.directory = fs::path(config.output) / "log";
  }
  on_every_rank(control, [&] { log::open(logging); });
  const std::unique_ptr<Communicator> comm = runtime.connect(comm_options(config.distributed));
  log::info("ranks\n" + runtime.placement_table());
  warn_of_environment(control);
  return command(runtime, *comm, std::move(config));
}

void add_common(CLI::App& command, Invocation& call) {
  command.add_flag("--json", call.json, "Print the result as one JSON object on stdout");
}

void add_config_command(CLI::App& app, Invocation& call, const std::string& name, const std::string& description,
                        const std::string& example, bool writes_logs, JobCommand run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_option("config", call.path, "YAML file (docs/config.md)")->required();
  command->add_option("--set", call.overrides, "Override a key: a.b=c (may be repeated)");
  if (name == "compress") {
    command->add_option(
        "--allow-changed", call.allowed_changes,
        "Go on with a started run although this key changed (may be repeated; docs/config.md says which)");
  }
  add_common(*command, call);
  command->callback([&call, writes_logs, run] {
    call.action = [&call, writes_logs, run](Runtime& runtime) { return run_job(runtime, call, writes_logs, run); };
  });
}

void add_plan(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("plan", "Check a job without running it: memory, bytes, time");
  command->footer(
      "Example:\n  tercet plan configs/ternary.yaml --set model.path=models/mine --world-size 64 --ranks-per-node 8 "
      "--bandwidth-gbps 100 --latency-us 5");
  command->add_option("config", call.path, "YAML file (docs/config.md)")->required();
  command->add_option("--set", call.overrides, "Override a key: a.b=c (may be repeated)");
  PlanRequest& request = call.plan;
  const auto add = [&](const char* name, auto& value, const char* what) {
    return command->add_option(name, value, what);
  };
  add("--world-size", request.world_size, "Pretend that there are so many ranks")->check(CLI::Range(1, 1 << 16));
  add("--ranks-per-node", request.ranks_per_node, "Ranks that share a node; otherwise as many as do now")
      ->check(CLI::Range(1, 1 << 16));
  add("--node-memory-gb", request.node_memory_gb, "Memory of a node, GB; otherwise this machine's")
      ->check(CLI::PositiveNumber);
  add("--step-seconds", request.step_seconds, "Seconds of one rank's step with one micro-batch; otherwise measured")
      ->check(CLI::PositiveNumber);
  add("--bandwidth-gbps", request.bandwidth_gbps,
      "Gbit/s of a rank's link; otherwise measured between the ranks that there are, or assumed")
      ->check(CLI::PositiveNumber);
  add("--latency-us", request.latency_us, "Microseconds of one message; otherwise likewise")
      ->check(CLI::NonNegativeNumber);
  add("--disk-mb-s", request.disk_mb_s, "MB/s that all ranks together write; otherwise measured")
      ->check(CLI::PositiveNumber);
  add_common(*command, call);
  command->callback([&call] {
    call.action = [&call](Runtime& runtime) {
      return run_job(runtime, call, false, [&call](Runtime& r, Communicator& comm, JobConfig config) {
        return plan(r, comm, std::move(config), call.plan);
      });
    };
  });
}

CommandResult run_evaluate(Runtime& runtime, const Invocation& call) {
  Communicator& control = runtime.control();
  log::open({control.rank(), control.size(), log::Level::kInfo, {}, 10.0});
  warn_of_environment(control);
  CommOptions options;
  options.device = call.device;
  const std::unique_ptr<Communicator> comm = runtime.connect(options);
  return evaluate_model(runtime, *comm, call.evaluate);
}

void add_evaluate(CLI::App& app, Invocation& call) {
  CLI::App* command =
      app.add_subcommand("evaluate", "Held-out perplexity, accuracy and tasks of a model or an artifact");
  command->footer(
      "Example:\n  mpirun -n 2 tercet evaluate runs/demo/compressed --data heldout.txt --against runs/demo/model\n"
      "  tercet evaluate models/mine --task hellaswag=hellaswag_val.jsonl --task mmlu=mmlu/test --limit 100");
  EvaluateRequest& request = call.evaluate;
  command->add_option("model", request.model, "Hugging Face folder, run, artifact folder or packed .pt")->required();
  command->add_option("--data", request.data, "Text to evaluate on");
  command->add_option("--task", request.tasks, "NAME=FILE of a task (may be repeated; docs/tasks.md)")
      ->type_name("NAME=FILE");
  command->add_option("--limit", request.limit, "Documents of each file of a task, 0 for all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command->add_option("--samples", request.samples, "Write the scores of each document of the tasks, as JSON lines");
  command->add_option("--against", request.against,
                      "Also measure this model, agreement with it and divergence from it");
  command->add_option("--tokenizer", request.tokenizer, "Tokenizer folder, if not the model's own");
  command->add_option("--sequence-length", request.sequence_length, "Tokens of one window")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--windows", request.windows, "Windows, 0 for all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  command->add_option("--batch", request.batch, "Windows, or sequences of a task, of one forward pass")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--device", call.device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime& runtime) { return run_evaluate(runtime, call); }; });
}

// Commands that rank 0 does alone, on the CPU.
CommandResult run_on_root(Runtime& runtime, const std::function<CommandResult()>& command) {
  Communicator& control = runtime.control();
  log::open({control.rank(), control.size(), log::Level::kInfo, {}, 10.0});
  CommOptions options;
  options.device = "cpu";
  const std::unique_ptr<Communicator> comm = runtime.connect(options);  // settles the threads
  return command();
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
  command->add_option("--tokenizer", request.tokenizer, "Tokenizer folder, if not the model's own");
  add("--tokens", request.tokens, "Tokens to add, at most")->check(CLI::Range(1, 1 << 20));
  add("--temperature", request.temperature, "0: always the likeliest token")->check(CLI::Range(0.0, 100.0));
  add("--top-k", request.top_k, "Choose among so many of the likeliest; 0: all")->check(CLI::Range(0, 1 << 30));
  add("--top-p", request.top_p, "Choose among the fewest that together have this probability")
      ->check(CLI::Range(0.0, 1.0));
  add("--seed", request.seed, "Another seed, another text");
  add("--weights", request.weights, "auto, packed or dense: how an artifact is multiplied")
      ->check(CLI::IsMember({"auto", "packed", "dense"}));
  command->add_flag("--to-the-end", request.to_the_end, "Go on behind the end of the text");
  add_common(*command, call);
  command->callback([&call] {
    call.generate.stream = !call.json;
    call.action = [&call](Runtime& runtime) {
      return run_on_root(runtime, [&] { return generate_text(runtime, call.generate); });
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
  command->add_option("--against", request.against, "Also this model, in fp32 and in bf16");
  add("--prompt-tokens", request.prompt_tokens, "Tokens of the prompt");
  add("--new-tokens", request.new_tokens, "Tokens generated after it");
  add("--repetitions", request.repetitions, "Repetitions, of which the median is shown");
  add_common(*command, call);
  command->callback([&call] {
    call.action = [&call](Runtime& runtime) {
      return run_on_root(runtime, [&] { return bench(runtime, call.bench); });
    };
  });
}

void add_family(CLI::App& app, Invocation& call) {
  CLI::App* command =
      app.add_subcommand("family", "Compress a family of models, and publish what is no worse than before");
  command->footer("Example:\n  tercet family configs/family.yaml --list");
  FamilyRequest& request = call.family;
  command->add_option("file", request.file, "YAML file (docs/families.md)")->required();
  command->add_option("--night", request.night, "Name of the night and its folders, instead of today's date");
  CLI::Option* list = command->add_flag("--list", request.list, "Only list the elements and their states");
  CLI::Option* count = command->add_flag("--count", request.count, "Only print the number of elements");
  CLI::Option* summary = command->add_flag("--summary", request.summary, "Only sum up what became of the elements");
  command->add_flag("--markdown", request.markdown, "The summary as Markdown")->needs(summary);
  command->add_option("--element", request.element, "Run this element only (a number of --list)")
      ->excludes(list, count, summary);
  list->excludes(count, summary);
  count->excludes(summary);
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime& runtime) { return family(runtime, call.family); }; });
}

// Commands that read files and compute nothing: rank 0 does them.
void add_file_command(CLI::App& app, Invocation& call, const std::string& name, const std::string& description,
                      const std::string& example, const std::function<CommandResult(const Invocation&)>& run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_option("path", call.path, "What to look at")->required();
  add_common(*command, call);
  command->callback([&call, run] { call.action = [&call, run](Runtime&) { return run(call); }; });
}

// On a person's terminal a report leaves its page, too; asked for something else, only where it is told to.
CommandResult run_report(const Invocation& call) {
  ReportRequest request = call.report;
  request.run = call.path;
  request.writes_html = !request.html.empty() || (request.show == "text" && !call.json);
  return report(request);
}

void add_report(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("report", "Show what a run measured, and write it as a page");
  command->footer(
      "Example:\n  tercet report runs/demo/compressed\n  tercet report runs/demo/compressed --html demo.html\n"
      "  tercet report runs/demo/compressed --csv layers > layers.csv");
  command->add_option("path", call.path, "Run folder")->required();
  ReportRequest& request = call.report;
  command->add_option("--html", request.html, "Where the page is written, instead of report.html in the run folder");
  CLI::Option* csv = command->add_option("--csv", request.show, "Print a table as CSV: layers or metrics")
                         ->check(CLI::IsMember({"layers", "metrics"}));
  command
      ->add_flag_callback(
          "--markdown", [&request] { request.show = "markdown"; }, "Print it as Markdown")
      ->excludes(csv);
  command->add_flag("--rebuild", request.rebuild, "Make run.h5 again from journal.jsonl first");
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime&) { return run_report(call); }; });
}

void add_watch(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("watch", "Watch a run until it ends, and end with its exit code");
  command->footer("Example:\n  tercet watch runs/demo/compressed\n  tercet watch runs/demo/compressed --once --json");
  command->add_option("path", call.path, "Run folder")->required();
  WatchRequest& request = call.watch;
  command->add_flag("--once", request.once, "Show one picture and end, with 0 while the run is under way");
  command->add_option("--interval", request.interval_s, "Seconds between two pictures; 2 on a terminal, otherwise 30")
      ->check(CLI::Range(0.2, 3600.0));
  add_common(*command, call);
  command->callback([&call] {
    call.action = [&call](Runtime& runtime) {
      call.watch.run = call.path;
      call.watch.quiet = call.json;
      return watch(runtime, call.watch);
    };
  });
}

std::string version_text() {
  const nlohmann::json information = build_information();
  std::string text = "tercet " + information.at("version").get<std::string>() + "\n";
  for (const auto& [key, value] : information.items()) {
    if (key != "version")
      text += "  " + key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n";
  }
  return text;
}

void describe(CLI::App& app, Invocation& call) {
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text());
  app.footer("Start several ranks with launch/run.sh CONFIG RANKS, mpirun or srun --mpi=pmix. Docs: docs/README.md");
  add_config_command(app, call, "compress", "Compress a model as the configuration says",
                     "launch/run.sh configs/ternary.yaml 2 -- --set model.path=models/mine", true, &compress);
  add_plan(app, call);
  add_evaluate(app, call);
  add_generate(app, call);
  add_bench(app, call);
  add_file_command(app, call, "inspect", "Show a model, an artifact or a run", "tercet inspect runs/demo/model",
                   [](const Invocation& c) { return inspect(c.path); });
  add_file_command(app, call, "verify", "Open every artifact anew and compare them",
                   "tercet verify runs/demo/compressed", [](const Invocation& c) { return verify(c.path); });
  add_config_command(app, call, "pretrain", "Train a small model from scratch",
                     "launch/run.sh --command pretrain configs/demo-pretrain.yaml 2", true, &pretrain);
  add_file_command(app, call, "stop", "Ask a running job to save and end; started again, it goes on",
                   "tercet stop runs/demo/compressed", [](const Invocation& c) { return stop(c.path); });
  add_family(app, call);
  add_report(app, call);
  add_watch(app, call);
  add_file_command(app, call, "runs", "List the runs in a folder and below it", "tercet runs runs",
                   [](const Invocation& c) { return list_runs(c.path); });
}

}  // namespace

int run_command_line(Runtime& runtime, int argc, char** argv) {
  Invocation call;
  CLI::App app{"Tercet: turns trained language models into ternary ones, as a distributed job", "tercet"};
  describe(app, call);
  const bool root = runtime.control().is_root();
  log::open({runtime.control().rank(), runtime.control().size(), log::Level::kInfo, {}, 10.0});
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return root ? app.exit(success, std::cout, std::cerr) : 0;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(error.what(), "", "tercet --help lists the commands, tercet COMMAND --help their options");
  }
  const heartbeat::Phase phase(app.get_subcommands().front()->get_name());
  const CommandResult result = call.action(runtime);
  if (root) {
    const std::string text = printable(result.text, result.text.max_size());  // names in files are strangers' words
    if (call.json) {
      std::cout << result.json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
      std::cerr << text;
    } else {
      std::cout << text << std::flush;
    }
  }
  return static_cast<int>(result.code);
}

}  // namespace tercet::app
