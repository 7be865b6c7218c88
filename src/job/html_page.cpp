#include "html_page.hpp"

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/html_report.hpp"

namespace tercet::job {

void write_html_page(const RunView& run) {
  try {
    write_file_atomically(run.folder / kHtmlReport, html_report(run));
  } catch (const Error& error) {
    log::warn(std::string("no ") + kHtmlReport + ": " + error.what());
  }
}

}  // namespace tercet::job
