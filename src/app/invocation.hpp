// What the options of the command line fill in, and the functions that add commands to it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tercet/job/commands.hpp"

namespace tercet::app {

using Action = std::function<CommandResult(Runtime&)>;

// Options that several commands share, and the command that was chosen.
struct Invocation {
  std::string path;
  std::vector<std::string> overrides;
  std::vector<std::string> allowed_changes;
  bool json = false;
  bool markdown = false;
  PlanRequest plan;
  ReportRequest report;
  WatchRequest watch;
  DashboardRequest dashboard;
  EvaluateRequest evaluate;
  GenerateRequest generate;
  BenchRequest bench;
  FamilyRequest family;
  StudyRequest study;
  std::string device = "auto";
  Action action;
};

inline void add_common(CLI::App& command, Invocation& call) {
  command.add_flag("--json", call.json, "Print the result as one JSON object on stdout");
}

// Commands of a configuration (job_commands.cpp).
using JobCommand = CommandResult (*)(Runtime&, Communicator&, JobConfig);
void add_config_command(CLI::App& app, Invocation& call, const std::string& name, const std::string& description,
                        const std::string& example, bool writes_logs, JobCommand run);
void add_plan(CLI::App& app, Invocation& call);
void add_family(CLI::App& app, Invocation& call);
void add_study(CLI::App& app, Invocation& call);

// Commands of a model (model_commands.cpp).
void add_evaluate(CLI::App& app, Invocation& call);
void add_generate(CLI::App& app, Invocation& call);
void add_bench(CLI::App& app, Invocation& call);

// Commands about the command line (self_commands.cpp).
void add_completion(CLI::App& app, Invocation& call);
void add_man(CLI::App& app, Invocation& call);

// Collective. Says what the environment may do to the numbers, also where ranks differ in it.
void warn_of_environment(Communicator& comm);

}  // namespace tercet::app
