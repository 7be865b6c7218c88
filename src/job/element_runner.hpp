// Runs elements on this node, several small ones at a time.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "element_run.hpp"

namespace tercet::job {

// Works on the elements until each has an outcome or a stop is requested, which is handed on. One that fails never
// holds up the others: its reason is written down. Returns their exit codes in the same order; 75 for one that was
// stopped or not started because of that. `on_end` is called after each attempt whose end was written down.
std::vector<int> run_elements(std::vector<std::unique_ptr<ElementRun>> elements, const PackingSection& packing,
                              std::function<void()> on_end = {});

}  // namespace tercet::job
