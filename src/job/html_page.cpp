#include "html_page.hpp"

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/log/log.hpp"
#include "tercet/report/html_report.hpp"

namespace tercet::job {

bool write_html_page(const RunView& run) {
  try {
    write_file_atomically(run.folder / kHtmlReport, html_report(run));
    return true;
  } catch (const Error& error) {
    log::warn(std::string("no ") + kHtmlReport + ": " + error.what());
    return false;
  }
}

}  // namespace tercet::job
