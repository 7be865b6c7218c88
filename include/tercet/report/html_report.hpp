// report.html: a run on one page, for people. docs/report.md says how to read it.
#pragma once

#include <filesystem>
#include <string>

#include "tercet/report/run_view.hpp"

namespace tercet {

inline constexpr const char* kHtmlReport = "report.html";  // in the run folder

std::string html_report(const RunView& run);  // the whole file
// The same for other uses.
std::string markdown_report(const RunView& run);
std::string layers_csv(const RunView& run);   // the per-layer table
std::string metrics_csv(const RunView& run);  // every value of every series, in the order of writing

}  // namespace tercet
