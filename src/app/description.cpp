#include "description.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace tercet::app {
namespace {

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string between(const std::string& text, const std::string& open, const std::string& close) {
  const std::size_t begin = text.find(open);
  const std::size_t end = begin == std::string::npos ? begin : text.find(close, begin);
  return end == std::string::npos ? "" : text.substr(begin + open.size(), end - begin - open.size());
}

std::vector<std::string> parts(const std::string& text, char separator) {
  std::vector<std::string> found;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) found.push_back(part);
  return found;
}

// "at least 1" for a range whose end is only there because a type has one.
std::string range_of(const std::string& type) {
  constexpr double kNoLimit = 1 << 30;
  if (type.find(":POSITIVE") != std::string::npos) return "above 0";
  if (type.find(":NONNEGATIVE") != std::string::npos) return "at least 0";
  const std::string range = between(type, " in [", "]");
  const std::size_t dash = range.find(" - ");
  if (dash == std::string::npos) return range;
  const std::string low = range.substr(0, dash), high = range.substr(dash + 3);
  return std::stod(high) >= kNoLimit ? "at least " + low : low + " to " + high;
}

// CLI11 appends what its checks say to the name of the type: "TEXT:{auto,cpu,cuda}", "INT:INT in [1 - 64]".
OptionDescription describe_option(const CLI::Option& option) {
  OptionDescription about;
  for (const std::string& name : option.get_snames()) about.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) about.names.push_back("--" + name);
  const bool argument = about.names.empty();
  if (argument) about.names.push_back(option.get_name(true));
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() > 0) {
    about.value = type.substr(0, type.find(':'));
    about.choices = parts(between(type, "{", "}"), ',');
    about.range = range_of(type);
    if (argument && about.value == "TEXT" && about.choices.empty()) about.value = kPath;
  }
  about.usual = option.get_default_str();
  about.sentence = option.get_description();
  about.required = option.get_required();
  about.repeated = option.get_items_expected_max() > 1;
  for (const CLI::Option* other : option.get_excludes()) about.excludes.push_back("--" + other->get_lnames().front());
  std::sort(about.excludes.begin(), about.excludes.end());  // CLI11 orders them by address
  return about;
}

std::vector<std::string> examples_in(const std::string& footer) {
  std::vector<std::string> examples;
  for (const std::string& line : parts(footer, '\n')) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin != std::string::npos && begin > 0) examples.push_back(line.substr(begin));
  }
  return examples;
}

CommandDescription describe_command(const CLI::App& command) {
  CommandDescription about{command.get_name(), command.get_description(), {}, {}, examples_in(command.get_footer())};
  for (const CLI::Option* option : command.get_options()) {
    (option->nonpositional() ? about.options : about.arguments).push_back(describe_option(*option));
  }
  return about;
}

}  // namespace

ProgramDescription describe_program(const CLI::App& app) {
  ProgramDescription program{app.get_name(), app.get_description(), app.get_footer(), {}, {}};
  for (const CLI::Option* option : app.get_options()) program.options.push_back(describe_option(*option));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    program.commands.push_back(describe_command(*command));
  }
  return program;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string usage(const ProgramDescription& program, const CommandDescription& command) {
  std::string text = program.name + " " + command.name;
  for (const OptionDescription& argument : command.arguments) {
    const std::string word = upper(argument.names.front()) + (argument.repeated ? "..." : "");
    text += argument.required ? " " + word : " [" + word + "]";
  }
  for (const OptionDescription& option : command.options) {
    if (option.required) text += " " + option.names.back() + " " + option.value;
  }
  return text + " [options]";
}

}  // namespace tercet::app
