// What Progress needs of the console, without spdlog.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tercet::log::console {

bool is_root();
bool is_live_terminal();  // stderr is a terminal that understands carriage return and erase
double line_interval_s();
void draw_live(std::string_view line);  // replaces the live line, kept below messages
void clear_live();

// At most width - 1 code points of `line`: a line that wraps cannot be redrawn in place.
std::string fit_to_width(std::string_view line, std::size_t width);

}  // namespace tercet::log::console
