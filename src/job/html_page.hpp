// report.html in a run folder, as every run leaves it.
#pragma once

#include "tercet/report/run_view.hpp"

namespace tercet::job {

// Writes <run>/report.html. A page that cannot be written fails no job: a warning says why. Returns whether it is
// there.
void write_html_page(const RunView& run);

}  // namespace tercet::job
