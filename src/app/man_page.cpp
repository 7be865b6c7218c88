#include <cstdio>

#include "manual.hpp"
#include "tercet/base/utf8.hpp"

namespace tercet::app {
namespace {

// Text as roff wants it: backslashes and dashes by name, other letters than ASCII by number, and no line that begins
// with a control character.
std::string roff(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Step step = utf8_step(text, i);
    const char c = text[i];
    if (step.length > 1 || !step.valid) {
      char name[16];
      std::snprintf(name, sizeof name, "\\[u%04X]", static_cast<unsigned>(step.valid ? step.code_point : 0xFFFD));
      result += name;
    } else if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else if (c == '~' || c == '^') {
      result += c == '~' ? "\\(ti" : "\\(ha";
    } else if ((c == '.' || c == '\'') && (i == 0 || text[i - 1] == '\n')) {
      result += std::string("\\&") + c;
    } else {
      result += c;
    }
    i += step.length;
  }
  return result;
}

std::string bold(const std::string& text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string cursive(const std::string& text) {
  return "\\fI" + roff(text) + "\\fR";
}

// "0 to 1; by default 0.5": what is known of a value besides its type.
std::string limits(const OptionDescription& option) {
  std::string text;
  for (const std::string& choice : option.choices) text += (text.empty() ? "" : ", ") + bold(choice);
  text += roff(option.range);
  if (!option.usual.empty()) text += (text.empty() ? "by default " : "; by default ") + roff(option.usual);
  return text;
}

std::string item(const OptionDescription& option) {
  std::string text = ".TP\n";
  for (const std::string& name : option.names) text += (&name == &option.names.front() ? "" : ", ") + bold(name);
  if (!option.value.empty()) text += " " + cursive(option.value) + (option.repeated ? " ..." : "");
  const std::string known = limits(option);
  return text + "\n" + roff(option.sentence) + (known.empty() ? "" : " (" + known + ")") + ".\n";
}

std::string items(const std::vector<OptionDescription>& options) {
  std::string text;
  for (const OptionDescription& option : options) text += item(option);
  return text;
}

std::string man_section(const ProgramDescription& program, const CommandDescription& command) {
  std::string text = ".SS " + roff(command.name) + "\n" + bold(usage(program, command)) + "\n.PP\n" +
                     roff(command.sentence) + ".\n" + items(command.arguments) + items(command.options);
  if (command.examples.empty()) return text;
  text += ".PP\nFor example:\n.PP\n.nf\n";
  for (const std::string& example : command.examples) text += ".RS 4\n" + roff(example) + "\n.RE\n";
  return text + ".fi\n";
}

}  // namespace

std::string man_page(const ProgramDescription& program, const std::string& version, const std::string& date) {
  std::string text = ".\\\" Made by `" + program.name + " man`.\n";
  text += ".TH TERCET 1 \"" + date + "\" \"" + program.name + " " + version + "\" \"User commands\"\n";
  text += ".SH NAME\n" + program.name + " \\- " + roff(program.sentence) + "\n";
  text += ".SH SYNOPSIS\n" + bold(program.name) + " " + cursive("COMMAND") + " [" + cursive("arguments") + "] [" +
          cursive("options") + "]\n";
  text += ".SH DESCRIPTION\n" + roff(program.footer) + "\n" + items(program.options);
  text += ".SH COMMANDS\n";
  for (const CommandDescription& command : program.commands) text += man_section(program, command);
  text += ".SH \"EXIT STATUS\"\n";
  for (const ExitMeaning& exit : kExitMeanings) {
    text += ".TP\n" + bold(std::to_string(exit.code)) + "\n" + roff(std::string(exit.meaning)) + ".\n";
  }
  return text;
}

}  // namespace tercet::app
