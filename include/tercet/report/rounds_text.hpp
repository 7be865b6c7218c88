// The part of a report about the rounds of a job: stages and remedies.
#pragma once

#include <string>

#include "tercet/store/run_file.hpp"

namespace tercet {

// A row for each round, what was tried and why, and what was kept; empty where there was one round.
std::string rounds_text(const RunRecord& run);

// Figures of a round that has a folder of its own are recorded as rounds/<name>/…. Those of the round that the reports
// are about (the one that was kept; before that, the one under way) take their plain names.
void take_figures_of_round(RunRecord& run);
std::string without_round(const std::string& series);  // "training/loss" of "rounds/2-int4/training/loss"

}  // namespace tercet
