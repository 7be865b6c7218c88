// The part of a report about bits per layer.
#pragma once

#include <string>

#include "tercet/store/run_file.hpp"

namespace tercet {

// What the target came to, and how many of the layers got each format; empty without a target.
std::string allocation_text(const RunRecord& run);

}  // namespace tercet
