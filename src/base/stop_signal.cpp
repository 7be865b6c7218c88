#include "tercet/base/stop_signal.hpp"

#include <atomic>
#include <csignal>

namespace tercet {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void remember(int) {
  requested.store(true);
}

void catch_signal(int number) {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

}  // namespace

void catch_stop_signals() {
  catch_signal(SIGUSR1);
  catch_signal(SIGTERM);
}

void catch_interrupts() {
  catch_signal(SIGINT);
}

bool stop_requested() {
  return requested.load();
}

}  // namespace tercet
