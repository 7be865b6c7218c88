// Commands that a configuration describes: compress, pretrain, plan; families and studies of them.
#include <filesystem>
#include <memory>

#include "invocation.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/base/error.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/log/log.hpp"

namespace tercet::app {
namespace {

namespace fs = std::filesystem;

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

// Reads the configuration on every rank, opens logs, connects the ranks.
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

}  // namespace

void warn_of_environment(Communicator& comm) {
  const std::vector<std::string> warnings = comm.all_gather(environment_warning());
  if (!warnings.front().empty()) log::warn(warnings.front());
  for (std::size_t rank = 1; rank < warnings.size(); ++rank) {
    if (warnings[rank] == warnings.front()) continue;
    return log::warn("the environment of rank " + std::to_string(rank) + " differs from that of rank 0: " +
                     (warnings[rank].empty() ? "nothing of this is set there" : warnings[rank]));
  }
}

void add_config_command(CLI::App& app, Invocation& call, const std::string& name, const std::string& description,
                        const std::string& example, bool writes_logs, JobCommand run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_option("config", call.path, "YAML file (docs/config.md)")->required();
  command->add_option("--set", call.overrides, "Override a key: a.b=c (may be repeated)")->type_name("KEY=VALUE");
  if (name == "compress") {
    command
        ->add_option("--allow-changed", call.allowed_changes,
                     "Go on with a started run although this key changed (may be repeated; docs/config.md says which)")
        ->type_name("KEY");
  }
  add_common(*command, call);
  command->callback([&call, writes_logs, run] {
    call.action = [&call, writes_logs, run](Runtime& runtime) { return run_job(runtime, call, writes_logs, run); };
  });
}

void add_plan(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("plan", "Check a job without running it: memory, bytes, time");
  command->footer(
      "Example:\n  tercet plan configs/ternary.yaml --set model.path=models/mine --set "
      "training.global_batch_tokens=16384 "
      "--world-size 64 --ranks-per-node 8 --bandwidth-gbps 100 --latency-us 5");
  command->add_option("config", call.path, "YAML file (docs/config.md)")->required();
  command->add_option("--set", call.overrides, "Override a key: a.b=c (may be repeated)")->type_name("KEY=VALUE");
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

void add_study(CLI::App& app, Invocation& call) {
  CLI::App* command =
      app.add_subcommand("study", "Run variants of a job with several seeds, and tell what each gives at which cost");
  command->footer("Example:\n  tercet study configs/studies/bit-widths.yaml --set model.path=models/mine");
  StudyRequest& request = call.study;
  command->add_option("file", request.file, "YAML file (docs/studies.md)")->required();
  command->add_option("--set", request.overrides,
                      "Override a key of the study or of its jobs: a.b=c (may be repeated)");
  command->add_flag("--summary", request.summary, "Only write the tables and plots of what there is");
  add_common(*command, call);
  command->callback([&call] { call.action = [&call](Runtime& runtime) { return study(runtime, call.study); }; });
}

}  // namespace tercet::app
