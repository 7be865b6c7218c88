// A request to stop, as a flag that one polls: nothing happens inside the signal handler.
#pragma once

namespace tercet {

// From here on USR1 and TERM set the flag instead of ending the process.
void catch_stop_signals();
void catch_interrupts();  // the same for INT: Ctrl-C
bool stop_requested();    // on this process; ranks agree at a border of their own

}  // namespace tercet
