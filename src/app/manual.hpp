// The man page, and the page docs/commands.md, from the command line itself.
#pragma once

#include <string>

#include "description.hpp"

namespace tercet::app {

std::string man_page(const ProgramDescription& program, const std::string& version, const std::string& date);  // roff
std::string commands_page(const ProgramDescription& program);  // Markdown

}  // namespace tercet::app
