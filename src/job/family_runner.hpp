// Runs elements of a family on this node, several small ones at a time.
#pragma once

#include <cstddef>
#include <vector>

#include "family_folders.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet::job {

// Works on the elements with these indices until each has an outcome or a stop is requested, which is handed on. One
// that fails never holds up the others: its reason is written down. Returns their exit codes in the same order; 75 for
// one that was stopped or not started because of that.
std::vector<int> run_elements(const FamilyConfig& family, const FamilyFolders& folders,
                              const std::vector<std::size_t>& indices);

}  // namespace tercet::job
