// report.html: a run on one page, for people. docs/report.md says how to read it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tercet/page/html.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet {

inline constexpr const char* kHtmlReport = "report.html";  // in the run folder

std::string html_report(const RunView& run);  // the whole file

// Its parts, for a page of another kind.
struct ReportPart {
  std::string id, title;
  page::Html section;  // empty where the run has no data for it
};
page::Html report_heading(const RunView& run);             // name, verdict, the figures that matter most
std::vector<ReportPart> report_parts(const RunView& run);  // always the same ones, in the order of the page
// The same for other uses.
std::string markdown_report(const RunView& run);
std::string layers_csv(const RunView& run);   // the per-layer table
std::string metrics_csv(const RunView& run);  // every value of every series, in the order of writing

}  // namespace tercet
