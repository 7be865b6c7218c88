// tercet dashboard: the runs of a folder as pages, until it is told to stop.
#include "tercet/dashboard/dashboard.hpp"

#include "tercet/base/error.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/log/log.hpp"

namespace tercet {

CommandResult show_dashboard(Runtime& runtime, const DashboardRequest& request) {
  if (runtime.control().size() > 1) {
    throw ConfigError("`tercet dashboard` was started on several ranks", "it is one process",
                      "run it without mpirun or srun");
  }
  catch_stop_signals();
  catch_interrupts();
  dashboard::serve(
      {request.folder, request.host, request.port, request.token},
      [&](const std::string& address) {
        log::info("the runs of '" + request.folder.string() + "' are at " + address + "  (Ctrl-C ends)");
      },
      [] { return stop_requested(); });
  return {};
}

}  // namespace tercet
