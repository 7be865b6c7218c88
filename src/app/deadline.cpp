#include "deadline.hpp"

#include <chrono>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"

namespace tercet::app {
namespace {

constexpr std::chrono::seconds kPatience{5};

}  // namespace

Deadline::Deadline(Communicator& comm, const std::exception_ptr& failure) {
  if (failure && comm.size() > 1) thread_ = std::thread([this, &comm, failure] { wait_and_abort(comm, failure); });
}

Deadline::~Deadline() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  done_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Deadline::wait_and_abort(Communicator& comm, const std::exception_ptr& failure) {
  std::unique_lock lock(mutex_);
  if (done_changed_.wait_for(lock, kPatience, [this] { return done_; })) return;
  int code = static_cast<int>(ExitCode::kInternal);
  std::string message = "an exception that is not a std::exception";
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    message = error.what();
    code = static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {  // keeps the words above
  }
  log::error_here(message + "\n  the other ranks wait in a collective call, so this rank ends the job");
  log::close();
  comm.abort(code);
}

}  // namespace tercet::app
