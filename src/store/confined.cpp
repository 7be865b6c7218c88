#include "store/confined.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"

namespace tercet::store {
namespace {

using Clock = std::chrono::steady_clock;

// The first byte of what the child says.
constexpr char kResult = 'r', kError = 'e';

void write_all(int pipe, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(pipe, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody is listening any more
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

// A crash is one of the outcomes that are expected here: no handler of this program, no core file.
void confine(std::chrono::seconds limit) {
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM}) ::signal(fatal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit time{static_cast<rlim_t>(limit.count()), static_cast<rlim_t>(limit.count())}, none{0, 0};
  ::setrlimit(RLIMIT_CPU, &time);
  ::setrlimit(RLIMIT_CORE, &none);
}

[[noreturn]] void be_the_child(int pipe, const std::function<std::string()>& work, std::chrono::seconds limit) {
  confine(limit);
  std::string answer(1, kError);
  try {
    const std::string result = work();
    answer = kResult + result;
  } catch (const std::exception& error) {
    answer += error.what();
  }
  write_all(pipe, answer);
  ::_exit(0);
}

// What the child says until it closes its end; nullopt when it has not by then.
std::optional<std::string> listen_to(int pipe, Clock::time_point end) {
  std::string heard;
  std::array<char, 1 << 16> buffer;
  while (Clock::now() < end) {
    heartbeat::beat();
    pollfd ready{pipe, POLLIN, 0};
    if (::poll(&ready, 1, 100) <= 0) continue;
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got == 0) return heard;
    if (got > 0) heard.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return std::nullopt;
}

int status_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

StoreError failed_to(const char* what) {
  return StoreError(std::string("cannot ") + what, std::strerror(errno));
}

}  // namespace

std::string in_own_process(const std::function<std::string()>& work, std::chrono::seconds limit) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw failed_to("make a pipe");
  const pid_t child = ::fork();
  if (child == 0) be_the_child(ends[1], work, limit);
  ::close(ends[1]);
  const StoreError no_child = failed_to("start a process");
  const auto heard = child > 0 ? listen_to(ends[0], Clock::now() + limit) : std::nullopt;
  ::close(ends[0]);
  if (child < 0) throw no_child;
  if (!heard) ::kill(child, SIGKILL);
  const int status = status_of(child);
  if (!heard) throw StoreError("no end after " + std::to_string(limit.count()) + " s");
  if (WIFSIGNALED(status)) {
    throw StoreError("a crash (" + std::string(::strsignal(WTERMSIG(status))) + ")");
  }
  if (heard->empty() || heard->front() != kResult) throw StoreError(heard->empty() ? "no answer" : heard->substr(1));
  return heard->substr(1);
}

}  // namespace tercet::store
