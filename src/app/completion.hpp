// Completion for shells: what may follow on a command line, written as a script of the shell.
#pragma once

#include <string>
#include <vector>

#include "description.hpp"
#include "tercet/config/keys.hpp"

namespace tercet::app {

// Both complete commands, options, choices, files and folders, and after --set the keys of the configuration and the
// choices of each. They need nothing but the shell itself, and do not call the program.
std::string bash_completion(const ProgramDescription& program, const std::vector<ConfigKey>& keys);
std::string zsh_completion(const ProgramDescription& program, const std::vector<ConfigKey>& keys);

}  // namespace tercet::app
