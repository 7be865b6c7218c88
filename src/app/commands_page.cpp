#include "manual.hpp"

namespace tercet::app {
namespace {

constexpr const char* kPageHead =
    "# Commands\n\n"
    "<!-- Made by `tercet man --markdown`. Write it again with: "
    "TERCET_UPDATE_DOCS=1 ctest --test-dir build/release -R e2e.man_page -->\n\n"
    "`tercet COMMAND --help` and the man page (`tercet man`) say the same. ";

std::string as_code(const std::string& text) {
  return "`" + text + "`";
}

// Vertical bars end a cell of a table.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

std::string value_of(const OptionDescription& option) {
  std::string text;
  for (const std::string& choice : option.choices) text += (text.empty() ? "" : ", ") + as_code(choice);
  if (text.empty()) text = option.value;
  if (!option.range.empty()) text += ", " + option.range;
  return option.repeated ? text + " ..." : text;
}

std::string option_row(const OptionDescription& option) {
  std::string names;
  for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + as_code(name);
  return "| " + names + " | " + cell(value_of(option)) + " | " + (option.usual.empty() ? "" : as_code(option.usual)) +
         " | " + cell(option.sentence) + " |\n";
}

// The flag for help is said once, at the top.
std::string options_table(const CommandDescription& command) {
  std::string text = "| argument, option | value | default | what it does |\n|---|---|---|---|\n";
  for (const OptionDescription& argument : command.arguments) text += option_row(argument);
  for (const OptionDescription& option : command.options) {
    if (option.names.back() != "--help") text += option_row(option);
  }
  return text;
}

std::string page_section(const ProgramDescription& program, const CommandDescription& command) {
  std::string text = "\n## " + command.name + "\n" + command.sentence + ".\n\n" + as_code(usage(program, command)) +
                     "\n\n" + options_table(command);
  if (command.examples.empty()) return text;
  text += "\n```sh\n";
  for (const std::string& example : command.examples) text += example + "\n";
  return text + "```\n";
}

}  // namespace

std::string commands_page(const ProgramDescription& program) {
  std::string text = kPageHead + program.footer + "\n\nExit codes: [operations.md](operations.md#exit-codes).\n";
  for (const CommandDescription& command : program.commands) text += page_section(program, command);
  return text;
}

}  // namespace tercet::app
