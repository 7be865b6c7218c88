#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "command_line.hpp"
#include "tercet/base/environment.hpp"
#include "tercet/base/error.hpp"
#include "tercet/comm/runtime.hpp"
#include "tercet/log/log.hpp"

namespace {

// Runs the command on every rank. An error that all ranks meet, or agree on, is said once; one that a rank meets while
// others wait inside a collective call ends the job after a deadline, said by that rank.
int run(tercet::Runtime& runtime, int argc, char** argv) {
  int code = 0;
  std::exception_ptr failure;
  try {
    code = tercet::app::run_command_line(runtime, argc, argv);
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    const tercet::Watchdog::Ultimatum ultimatum(runtime.watchdog(), failure);
    tercet::on_every_rank(runtime.control(), [&] {
      if (failure) std::rethrow_exception(failure);
    });
  } catch (const tercet::Error& error) {
    tercet::log::error(error.what());
    code = static_cast<int>(error.exit_code());
  }
  tercet::log::close();
  runtime.ends_with(code);
  return code;
}

// Ends MPI, too: nothing of ours is open when this returns.
int run_as_rank(int argc, char** argv) {
  try {
    tercet::Runtime runtime(&argc, &argv);
    return run(runtime, argc, argv);
  } catch (const tercet::Error& error) {
    tercet::log::error_here(error.what());
    return static_cast<int>(error.exit_code());
  }
}

// Without the destructors of static objects: LibTorch takes longer to take its tables of operators apart than a short
// command works, and a crash in there would cost a finished job its exit code. Coverage and sanitizers report at exit.
[[noreturn]] void leave(int code) {
#ifdef TERCET_REPORTS_AT_EXIT
  std::exit(code);
#else
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  tercet::settle_environment();
  leave(run_as_rank(argc, argv));
}
