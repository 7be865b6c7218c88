#include "completion.hpp"

namespace tercet::app {
namespace {

constexpr const char* kZshHead = R"sh(#compdef tercet
# Completion of tercet for zsh, made by `tercet completion zsh`. After compinit, for this shell:
#   source <(tercet completion zsh)

)sh";

constexpr const char* kZshSettings = R"sh(
# A key of the configuration, and behind '=' its value.
_tercet_setting() {
  if compset -P '*='; then
    local key=${${IPREFIX%=}##*=}
    local -a choices
    if [[ -n ${_tercet_choices[$key]} ]]; then
      choices=(${=_tercet_choices[$key]})
      compadd -a choices
    elif (( ${_tercet_path_keys[(Ie)$key]} )); then
      _files
    fi
  else
    compadd -q -S = -a _tercet_keys
  fi
}

_tercet_named_path() {
  if compset -P '*='; then _files; else _message 'NAME=FILE'; fi
}

)sh";

constexpr const char* kZshTail = R"sh(
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
  _tercet "$@"
else
  compdef _tercet tercet
fi
)sh";

// For single quotes, with the characters escaped that mean something to _arguments.
std::string quoted(const std::string& text, const std::string& escaped) {
  std::string result;
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
      continue;
    }
    if (escaped.find(c) != std::string::npos) result += '\\';
    result += c;
  }
  return result;
}

std::string action_of(const OptionDescription& option) {
  if (!option.choices.empty()) return "(" + joined(option.choices) + ")";
  if (option.value == kFile || option.value == kPath) return "_files";
  if (option.value == kFolder) return "_files -/";
  if (option.value == kKey) return "{compadd -a _tercet_keys}";
  if (option.value == kSetting) return "_tercet_setting";
  if (option.value == kNamedPath) return "_tercet_named_path";
  return " ";
}

// '*--set=[Override a key]:KEY=VALUE:_tercet_setting'
std::string option_spec(const OptionDescription& option, const std::string& name) {
  std::string spec = option.repeated ? "*" : "";
  if (!option.excludes.empty()) spec += "(" + joined(option.excludes) + ")";
  spec += name + (option.value.empty() ? "" : "=") + "[" + quoted(option.sentence, "[]\\") + "]";
  if (!option.value.empty()) spec += ":" + quoted(option.value, ":\\") + ":" + action_of(option);
  return "'" + spec + "'";
}

std::string arguments_call(const std::string& indent, const std::vector<std::string>& specs) {
  std::string text = indent + "_arguments -S";
  for (const std::string& spec : specs) text += " \\\n" + indent + "  " + spec;
  return text + "\n";
}

std::vector<std::string> option_specs(const std::vector<OptionDescription>& options) {
  std::vector<std::string> specs;
  for (const OptionDescription& option : options) {
    for (const std::string& name : option.names) specs.push_back(option_spec(option, name));
  }
  return specs;
}

std::string command_case(const CommandDescription& command) {
  std::vector<std::string> specs = option_specs(command.options);
  for (std::size_t i = 0; i < command.arguments.size(); ++i) {
    const OptionDescription& argument = command.arguments[i];
    specs.push_back("'" + (argument.repeated ? "*" : std::to_string(i + 1)) + ":" + quoted(argument.sentence, ":\\") +
                    ":" + action_of(argument) + "'");
  }
  return "    " + command.name + ")\n" + arguments_call("      ", specs) + "      ;;\n";
}

std::string key_tables(const std::vector<ConfigKey>& keys) {
  std::string names, paths, choices;
  for (const ConfigKey& key : keys) {
    names += "  " + key.key + "\n";
    if (key.path) paths += "  " + key.key + "\n";
    if (!key.choices.empty()) choices += "  " + key.key + " '" + joined(key.choices) + "'\n";
  }
  return "typeset -ga _tercet_keys=(\n" + names + ")\ntypeset -ga _tercet_path_keys=(\n" + paths +
         ")\ntypeset -gA _tercet_choices=(\n" + choices + ")\n";
}

}  // namespace

std::string zsh_completion(const ProgramDescription& program, const std::vector<ConfigKey>& keys) {
  std::string commands, cases;
  for (const CommandDescription& command : program.commands) {
    commands += "    '" + command.name + ":" + quoted(command.sentence, "\\") + "'\n";
    cases += command_case(command);
  }
  std::vector<std::string> specs = option_specs(program.options);
  specs.insert(specs.end(), {"'1:command:->command'", "'*::argument:->argument'"});
  std::string body = "_tercet() {\n  local curcontext=$curcontext state line\n  typeset -A opt_args\n";
  body += "  local -a commands=(\n" + commands + "  )\n";
  body += arguments_call("  ", specs);
  body += "  if [[ $state == command ]]; then\n    _describe 'command' commands\n    return\n  fi\n";
  body += "  [[ $state == argument ]] || return\n  curcontext=${curcontext%:*:*}:tercet-$words[1]:\n";
  return kZshHead + key_tables(keys) + kZshSettings + body + "  case $words[1] in\n" + cases + "  esac\n}\n" + kZshTail;
}

}  // namespace tercet::app
