// The end of this process at a set time, whatever happens: a thread that only counts, and touches neither MPI nor files
// nor locks of others. It bounds what nothing else can: MPI's start and end, a report that cannot be written, the
// watchdog itself, the destructors after main.
#pragma once

#include <string>

namespace tercet::comm::last_resort {

// Unless called again within `seconds` (while this process runs: time during which it was stopped does not count), the
// words go to stderr and the process ends with `exit_code`. Replaces what was set before. Thread-safe.
void within(double seconds, int exit_code, const std::string& words);

}  // namespace tercet::comm::last_resort
