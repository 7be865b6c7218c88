// Commands about the command line itself: completion, man.
#include "completion.hpp"
#include "invocation.hpp"
#include "manual.hpp"
#include "tercet/job/build_stamp.hpp"

namespace tercet::app {

void add_completion(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("completion", "Print the completion of this command line for a shell");
  command->footer("Example:\n  source <(tercet completion bash)");
  command->add_option("shell", call.path, "Which shell")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->callback([&app, &call] {
    call.action = [&app, &call](Runtime&) {
      const auto write = call.path == "zsh" ? &zsh_completion : &bash_completion;
      CommandResult result;
      result.text = write(describe_program(app), config_keys());
      return result;
    };
  });
}

void add_man(CLI::App& app, Invocation& call) {
  CLI::App* command = app.add_subcommand("man", "Print the man page");
  command->footer("Example:\n  tercet man > tercet.1");
  command->add_flag("--markdown", call.markdown, "Print docs/commands.md instead");
  command->callback([&app, &call] {
    call.action = [&app, &call](Runtime&) {
      const ProgramDescription program = describe_program(app);
      CommandResult result;
      result.text = call.markdown ? commands_page(program) : man_page(program, kVersion, kCommitDate);
      return result;
    };
  });
}

}  // namespace tercet::app
