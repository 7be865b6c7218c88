#include "command_line.hpp"

#include <iostream>
#include <string>

#include "invocation.hpp"
#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/base/utf8.hpp"
#include "tercet/log/log.hpp"

namespace tercet::app {
namespace {

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
  command->add_option("path", call.path, "Run folder")->required()->type_name("FOLDER");
  ReportRequest& request = call.report;
  command->add_option("--html", request.html, "Where the page is written, instead of report.html in the run folder")
      ->type_name("FILE");
  CLI::Option* csv = command->add_option("--csv", request.show, "Print a table as CSV: layers or metrics")
                         ->check(CLI::IsMember({"layers", "metrics"}));
  command
      ->add_flag_callback(
          "--markdown", [&request] { request.show = "markdown"; }, "Print it as Markdown")
      ->excludes(csv);
  command->add_option("--tensorboard", request.tensorboard, "Write a TensorBoard event file into this folder");
  command->add_option("--wandb", request.wandb, "Write an offline run of Weights & Biases below this folder");
  command->add_option("--mlflow", request.mlflow, "Send the figures to the MLflow server with this address")
      ->type_name("URL");
  command->add_option("--mlflow-experiment", request.mlflow_experiment, "The experiment that the run goes to there")
      ->capture_default_str();
  command->add_flag("--rebuild", request.rebuild, "Make run.h5 again from journal.jsonl first");
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime&) { return run_report(call); }; });
}

void add_watch(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("watch", "Watch a run until it ends, and end with its exit code");
  command->footer("Example:\n  tercet watch runs/demo/compressed\n  tercet watch runs/demo/compressed --once --json");
  command->add_option("path", call.path, "Run folder")->required()->type_name("FOLDER");
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

void add_dashboard(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("dashboard", "Show the runs of a folder in a browser, while they work");
  command->footer("Example:\n  tercet dashboard runs    # then http://127.0.0.1:8420/");
  command->add_option("path", call.path, "Folder of runs")->required();
  DashboardRequest& request = call.dashboard;
  command->add_option("--port", request.port, "Port to listen at; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--host", request.host, "Address to listen at; any but a loopback address asks for a token")
      ->capture_default_str();
  command->add_option("--token", request.token, "Token to ask for, instead of one made at random where one is needed")
      ->envname("TERCET_DASHBOARD_TOKEN");
  command->callback([&call] {
    call.action = [&call](Runtime& runtime) {
      call.dashboard.folder = call.path;
      return show_dashboard(runtime, call.dashboard);
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
  app.set_version_flag("--version", version_text);  // only when asked for: it looks for GPUs
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
  add_config_command(
      app, call, "pretrain", "Train a small model from scratch",
      "launch/run.sh --command pretrain configs/quick.yaml 2 -- --set model.path= --set output=runs/quick/model", true,
      &pretrain);
  add_file_command(app, call, "stop", "Ask a running job to save and end; started again, it goes on",
                   "tercet stop runs/demo/compressed", [](const Invocation& c) { return stop(c.path); });
  add_family(app, call);
  add_study(app, call);
  add_report(app, call);
  add_watch(app, call);
  add_file_command(app, call, "runs", "List the runs in a folder and below it", "tercet runs runs",
                   [](const Invocation& c) { return list_runs(c.path); });
  add_dashboard(app, call);
  add_completion(app, call);
  add_man(app, call);
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
