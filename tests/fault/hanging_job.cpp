// A job that goes wrong on purpose, for watchdog.py: hanging_job HOW RANK TIMEOUT. The ranks meet a few times, then the
// given rank does as told while the others wait for it.
#include <ATen/ops/zeros.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "tercet/base/error.hpp"
#include "tercet/base/heartbeat.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/log/log.hpp"

namespace tercet {
namespace {

using std::chrono::milliseconds;

void sleep_for_ever() {
  while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

void spin_for_ever() {
  for (std::atomic<unsigned> turns{0};; turns.fetch_add(1)) {
  }
}

void work(double seconds, const std::function<void()>& after_each_turn) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(50));
    after_each_turn();
  }
}

void misbehave(const std::string& how, Communicator& other, double timeout_s) {
  const heartbeat::Phase phase(how);
  if (how == "sleep" || how == "leave") sleep_for_ever();
  if (how == "spin") spin_for_ever();
  if (how == "stop") std::raise(SIGSTOP);
  if (how == "deadlock") other.barrier();
  if (how == "work") work(3 * timeout_s, heartbeat::beat);
  if (how == "fail") {  // with a reduction under way that the others never join
    other.start_all_reduce(at::zeros({8}, at::kFloat), Reduce::kSum);
    throw DataError("this rank fails alone");
  }
}

int run(Runtime& runtime, const std::string& how, int rank, double timeout_s) {
  Communicator& comm = runtime.control();
  log::open({comm.rank(), comm.size(), log::Level::kInfo, {}, 1.0});
  runtime.watchdog().set_timeout(timeout_s);
  runtime.watchdog().before_the_end([](const Ending& ending) { std::cout << ending.sentence << std::endl; });
  const heartbeat::Phase phase("the job");
  std::exception_ptr failure;
  try {
    CommOptions options;
    options.device = "cpu";
    const std::unique_ptr<Communicator> other = runtime.connect(options);
    for (int i = 0; i < 3; ++i) comm.barrier();
    if (comm.rank() == rank) misbehave(how, *other, timeout_s);
    if (how != "leave") comm.idle_barrier();
  } catch (...) {
    failure = std::current_exception();
  }
  const Watchdog::Ultimatum ultimatum(runtime.watchdog(), failure);
  if (failure) comm.barrier();
  return 0;
}

}  // namespace
}  // namespace tercet

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  tercet::Runtime runtime(&argc, &argv);
  const int code = tercet::run(runtime, argv[1], std::atoi(argv[2]), std::atof(argv[3]));
  runtime.ends_with(code);
  return code;
}
