// The tables are generated; the functions that look into them are always the same.
#include "completion.hpp"

namespace tercet::app {
namespace {

constexpr const char* kBashHead =
    R"sh(# Completion of tercet for bash, made by `tercet completion bash`. For this shell:
#   source <(tercet completion bash)

)sh";

constexpr const char* kBashFunctions = R"sh(
# What is on the line before the word that is being typed, and that word. Bash cuts words at '=', which is undone here.
_tercet_read_line() {
  local -i i
  _tercet_words=()
  for ((i = 1; i <= COMP_CWORD; i++)); do
    if ((${#_tercet_words[@]})) && [[ ${COMP_WORDS[i]} == =* || ${COMP_WORDS[i - 1]} == *= ]]; then
      _tercet_words[${#_tercet_words[@]} - 1]+=${COMP_WORDS[i]}
    else
      _tercet_words+=("${COMP_WORDS[i]}")
    fi
  done
  _tercet_current=${_tercet_words[${#_tercet_words[@]} - 1]}
  unset "_tercet_words[${#_tercet_words[@]} - 1]"
}

# What kind of word is being typed.
_tercet_kind() {
  local word command='' option='' kind
  local -i place=1
  for word in "${_tercet_words[@]}"; do
    if [[ -n $option ]]; then
      option=''
    elif [[ $word == -* ]]; then
      kind=$(_tercet_value "${command:-tercet} ${word%%=*}")
      [[ $word == *=* || $kind == flag ]] || option=$word
    elif [[ -z $command ]]; then
      command=$word
    else
      place+=1
    fi
  done
  if [[ -n $option ]]; then
    _tercet_value "$command $option"
  elif [[ $_tercet_current == --*=* ]]; then
    _tercet_value "${command:-tercet} ${_tercet_current%%=*}"
  elif [[ $_tercet_current == -* ]]; then
    printf 'one of %s' "$(_tercet_options "${command:-tercet}")"
  elif [[ -z $command ]]; then
    printf 'one of %s' "$(_tercet_commands)"
  else
    _tercet_value "$command $place"
  fi
}

_tercet_reply() { # KIND WORD
  local name=${2%%=*} value=${2#*=}
  case $1 in
    file) mapfile -t COMPREPLY < <(compgen -f -- "$2") && compopt -o filenames 2>/dev/null ;;
    folder) mapfile -t COMPREPLY < <(compgen -d -- "$2") && compopt -o filenames 2>/dev/null ;;
    key) mapfile -t COMPREPLY < <(compgen -W "$(_tercet_keys)" -- "$2") ;;
    setting)
      if [[ $2 == *=* ]]; then
        _tercet_reply "$(_tercet_value_of_key "$name")" "$value"
      else
        mapfile -t COMPREPLY < <(compgen -S = -W "$(_tercet_keys)" -- "$2") && compopt -o nospace 2>/dev/null
      fi
      ;;
    named) [[ $2 != *=* ]] || _tercet_reply file "$value" ;;
    'one of '*) mapfile -t COMPREPLY < <(compgen -W "${1#one of }" -- "$2") ;;
  esac
}

_tercet() {
  local _tercet_words _tercet_current kind
  COMPREPLY=()
  _tercet_read_line
  kind=$(_tercet_kind)
  [[ $_tercet_current != --*=* ]] || _tercet_current=${_tercet_current#*=}
  _tercet_reply "$kind" "$_tercet_current"
}

complete -F _tercet tercet
)sh";

std::string kind_of(const OptionDescription& option) {
  if (option.value.empty()) return "flag";
  if (!option.choices.empty()) return "one of " + joined(option.choices);
  if (option.value == kFile || option.value == kPath) return "file";
  if (option.value == kFolder) return "folder";
  if (option.value == kKey) return "key";
  if (option.value == kSetting) return "setting";
  if (option.value == kNamedPath) return "named";
  return "text";
}

std::string kind_of(const ConfigKey& key) {
  if (!key.choices.empty()) return "one of " + joined(key.choices);
  return key.path ? "file" : "text";
}

std::string a_case(const std::string& pattern, const std::string& answer) {
  return "    " + pattern + ") printf '%s' '" + answer + "' ;;\n";
}

// A shell function that answers its first argument by a table.
std::string table_function(const std::string& name, const std::string& comment, const std::string& cases) {
  return "# " + comment + "\n" + name + "() {\n  case $1 in\n" + cases + "  esac\n}\n\n";
}

std::string words_function(const std::string& name, const std::vector<std::string>& words) {
  return name + "() {\n  printf '%s' '" + joined(words) + "'\n}\n\n";
}

std::string option_names(const std::vector<OptionDescription>& options) {
  std::vector<std::string> names;
  for (const OptionDescription& option : options) names.insert(names.end(), option.names.begin(), option.names.end());
  return joined(names);
}

std::string value_cases(const std::string& command, const std::vector<OptionDescription>& options) {
  std::string cases;
  for (const OptionDescription& option : options) {
    for (const std::string& name : option.names) cases += a_case("'" + command + " " + name + "'", kind_of(option));
  }
  return cases;
}

std::string argument_cases(const CommandDescription& command) {
  std::string cases;
  for (std::size_t i = 0; i < command.arguments.size(); ++i) {
    const std::string place = command.arguments[i].repeated ? "'*" : std::to_string(i + 1) + "'";
    cases += a_case("'" + command.name + " " + place, kind_of(command.arguments[i]));
  }
  return cases;
}

}  // namespace

std::string bash_completion(const ProgramDescription& program, const std::vector<ConfigKey>& keys) {
  std::vector<std::string> command_names, key_names;
  std::string options = a_case(program.name, option_names(program.options));
  std::string values = value_cases(program.name, program.options), values_of_keys;
  for (const CommandDescription& command : program.commands) {
    command_names.push_back(command.name);
    options += a_case(command.name, option_names(command.options));
    values += value_cases(command.name, command.options) + argument_cases(command);
  }
  for (const ConfigKey& key : keys) {
    key_names.push_back(key.key);
    values_of_keys += a_case(key.key, kind_of(key));
  }
  return kBashHead + words_function("_tercet_commands", command_names) + words_function("_tercet_keys", key_names) +
         table_function("_tercet_options", "COMMAND", options) +
         table_function("_tercet_value", "COMMAND OPTION, or COMMAND and the number of an argument", values) +
         table_function("_tercet_value_of_key", "KEY of the configuration", values_of_keys) + kBashFunctions;
}

}  // namespace tercet::app
