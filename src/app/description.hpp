// What the command line says of itself, read off the CLI11 objects. Completion, the man page and docs/commands.md are
// made from it, so none of them can know another command line than the program has.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tercet::app {

// An option, or an argument, which has a place instead of a name with dashes.
struct OptionDescription {
  std::vector<std::string> names;  // "-h", "--help"; of an argument one word, "config"
  std::string value;               // what it takes: "FILE", "INT"; empty: a flag
  std::string range;               // "1 to 65536"; empty: anything
  std::vector<std::string> choices;
  std::string usual;  // its default, where there is one
  std::string sentence;
  bool required = false;
  bool repeated = false;
  std::vector<std::string> excludes;  // names of options that it cannot be given with
};

struct CommandDescription {
  std::string name;
  std::string sentence;
  std::vector<OptionDescription> arguments;  // in the order of their places
  std::vector<OptionDescription> options;
  std::vector<std::string> examples;  // command lines
};

struct ProgramDescription {
  std::string name;
  std::string sentence;
  std::string footer;
  std::vector<OptionDescription> options;  // those without a command
  std::vector<CommandDescription> commands;
};

// What a value is, by the name of its type. An argument of no particular type is a path.
inline constexpr std::string_view kFile = "FILE";
inline constexpr std::string_view kFolder = "FOLDER";
inline constexpr std::string_view kPath = "PATH";            // a file or a folder
inline constexpr std::string_view kKey = "KEY";              // of the configuration
inline constexpr std::string_view kSetting = "KEY=VALUE";    // a key and its value
inline constexpr std::string_view kNamedPath = "NAME=FILE";  // a path after any name

ProgramDescription describe_program(const CLI::App& app);

std::string joined(const std::vector<std::string>& words);  // by spaces

// "tercet plan CONFIG [options]": how a command is written.
std::string usage(const ProgramDescription& program, const CommandDescription& command);

struct ExitMeaning {
  int code;
  std::string_view meaning;
};
inline constexpr ExitMeaning kExitMeanings[] = {
    {0, "passed"},
    {3, "a gate of severity fail failed; the artifacts are in rejected/"},
    {64, "usage or configuration"},
    {65, "bad input: model, tokenizer, text or artifact"},
    {70, "internal error: communication, numbers that are not finite"},
    {74, "a file could not be read or written"},
    {75, "stopped on request; can be resumed"},
};

}  // namespace tercet::app
