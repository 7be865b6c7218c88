// tercet watch: a run in a terminal until it ends. tercet runs: many runs as a table.
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <thread>

#include "tercet/base/heartbeat.hpp"
#include "tercet/base/text.hpp"
#include "tercet/job/commands.hpp"
#include "tercet/report/glance.hpp"

namespace tercet {
namespace {

constexpr double kGivenUpAfter_s = kDefaultHangTimeout;  // without a heartbeat, which is written every five seconds
constexpr double kOnTerminal_s = 2, kElsewhere_s = 30;

bool on_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20;
  return known ? size.ws_col : 120;
}

bool is_lost(const Glance& run) {
  const auto silent = run.silent_s();
  return silent && *silent > kGivenUpAfter_s;
}

// What a run that is over ended with.
ExitCode code_of(const Glance& run) {
  for (const ExitCode code : {ExitCode::kPassed, ExitCode::kGateFailed, ExitCode::kUsage, ExitCode::kBadInput,
                              ExitCode::kInternal, ExitCode::kIo, ExitCode::kStopped}) {
    if (run.exit_code == static_cast<int>(code)) return code;
  }
  return run.state == "passed" ? ExitCode::kPassed : ExitCode::kInternal;
}

CommandResult result_of(const Glance& run) {
  CommandResult result{ExitCode::kPassed, to_json(run), picture(run, terminal_width())};
  if (run.over()) result.code = code_of(run);
  if (is_lost(run)) {
    result.code = ExitCode::kInternal;
    result.text += "the job is taken for lost; started again, it goes on from what it saved\n";
  }
  return result;
}

void sleep_for(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    heartbeat::beat();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// A picture takes the place of the one before, on a terminal; elsewhere they follow each other.
void show(const std::string& text, bool terminal) {
  std::cout << (terminal ? "\x1b[H\x1b[J" : "") << text << (terminal ? "" : "\n") << std::flush;
}

}  // namespace

CommandResult watch(Runtime& runtime, const WatchRequest& request) {
  const bool shows = !request.once && !request.quiet && runtime.control().is_root(), terminal = on_terminal();
  const double interval = request.interval_s > 0 ? request.interval_s : terminal ? kOnTerminal_s : kElsewhere_s;
  RunWatcher watcher(request.run);
  for (;;) {
    const Glance& run = watcher.look();
    if (request.once || run.over() || is_lost(run)) {
      if (shows && terminal) show("", true);
      return result_of(run);
    }
    if (shows) show(picture(run, terminal_width()), terminal);
    sleep_for(interval);
  }
}

CommandResult list_runs(const std::filesystem::path& folder) {
  const std::vector<RunSummary> runs = runs_below(folder);
  return {ExitCode::kPassed, runs_json(runs), runs_table(folder, runs)};
}

}  // namespace tercet
