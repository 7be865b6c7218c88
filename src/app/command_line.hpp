// The command line: commands, options, and what goes to stdout (results) and stderr (everything else).
#pragma once

#include "tercet/comm/runtime.hpp"

namespace tercet::app {

// Collective. Parses and runs one command; returns the exit code. Throws Error.
int run_command_line(Runtime& runtime, int argc, char** argv);

}  // namespace tercet::app
