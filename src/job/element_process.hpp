// One element's process: launch/run.sh in a process group of its own, on CPUs of its own, its output in a file.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tercet::job {

struct ProcessRequest {
  std::vector<std::string> command;                // program and arguments
  std::map<std::string, std::string> environment;  // changes to this process's own
  std::vector<int> cpus;                           // empty: those of this process
  std::filesystem::path log;                       // stdout and stderr are appended
};

class ChildProcess {
 public:
  explicit ChildProcess(const ProcessRequest& request);  // throws StoreError
  // A child that still runs is asked to end (TERM), as the kernel does should this process be killed.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) = delete;

  void signal(int number) const;
  // Its exit status once it has ended, 128 + n for signal n; never waits.
  std::optional<int> poll();

 private:
  pid_t pid_ = -1;  // -1: ended, or moved from
};

// From here on USR1, TERM, INT and HUP are counted instead of ending the process; 2 and more: end at once.
void count_stop_requests();
int stop_requests();

// launch/run.sh of the project that this program belongs to: below TERCET_HOME, else above the program's own folder.
// Throws ConfigError.
std::filesystem::path find_launcher();
// What run.sh needs in its environment to start this very program.
std::map<std::string, std::string> launcher_environment(const std::filesystem::path& launcher);

}  // namespace tercet::job
