#include "element_process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tercet/base/error.hpp"

extern char** environ;

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

constexpr int kCannotStart = 127;

std::atomic<int> requests{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

// USR1 may come any number of times and means the first request only; another TERM or Ctrl-C is a second one.
void count_request(int number) {
  if (number != SIGUSR1 || requests.load() == 0) requests.fetch_add(1);
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : changes) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> raw;
  for (std::string& word : words) raw.push_back(word.data());
  raw.push_back(nullptr);
  return raw;
}

cpu_set_t set_of(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  return set;
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* command, char* const* environment, const cpu_set_t* cpus, int log, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);  // it died before the line above
  if (cpus != nullptr) ::sched_setaffinity(0, sizeof *cpus, cpus);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execve(command[0], command, environment);
  ::_exit(kCannotStart);
}

fs::path own_program() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error);
}

}  // namespace

ChildProcess::ChildProcess(const ProcessRequest& request) {
  const int log = ::open(request.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (log < 0) throw StoreError("cannot write '" + request.log.string() + "'", std::strerror(errno));
  std::vector<std::string> words = request.command, environment = merged_environment(request.environment);
  const std::vector<char*> raw_words = pointers(words), raw_environment = pointers(environment);
  const cpu_set_t cpus = set_of(request.cpus);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    become(raw_words.data(), raw_environment.data(), request.cpus.empty() ? nullptr : &cpus, log, parent);
  }
  const int reason = errno;
  ::close(log);
  if (pid_ < 0) throw StoreError("cannot start '" + request.command[0] + "'", std::strerror(reason));
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

void ChildProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

std::optional<int> ChildProcess::poll() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  pid_ = -1;
  if (ended < 0) return kCannotStart;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void count_stop_requests() {
  struct sigaction action {};
  action.sa_handler = count_request;
  action.sa_flags = SA_RESTART;
  for (int number : {SIGUSR1, SIGTERM, SIGINT, SIGHUP}) ::sigaction(number, &action, nullptr);
}

int stop_requests() {
  return requests.load();
}

fs::path find_launcher() {
  const fs::path below = fs::path("launch") / "run.sh";
  if (const char* home = std::getenv("TERCET_HOME"); home != nullptr && fs::exists(fs::path(home) / below)) {
    return fs::path(home) / below;
  }
  for (fs::path folder = own_program().parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    if (fs::exists(folder / below)) return folder / below;
  }
  throw ConfigError("launch/run.sh was not found", "it is in no folder above the program",
                    "set TERCET_HOME to the project's folder");
}

std::map<std::string, std::string> launcher_environment(const fs::path& launcher) {
  const fs::path folder = own_program().parent_path();
  const char* path = std::getenv("PATH");
  std::map<std::string, std::string> changes{
      {"PATH", folder.string() + (path == nullptr ? "" : ":" + std::string(path))}};
  // run.sh prefers the build that this names.
  if (folder.parent_path() == launcher.parent_path().parent_path() / "build") {
    changes["TERCET_PRESET"] = folder.filename().string();
  }
  return changes;
}

}  // namespace tercet::job
