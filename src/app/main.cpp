#include <exception>

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

}  // namespace

int main(int argc, char** argv) {
  tercet::settle_environment();
  try {
    tercet::Runtime runtime(&argc, &argv);
    return run(runtime, argc, argv);
  } catch (const tercet::Error& error) {
    tercet::log::error_here(error.what());
    return static_cast<int>(error.exit_code());
  }
}
