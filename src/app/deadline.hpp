// A bound on how long a failing rank waits for the others to agree on its error.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "tercet/comm/communicator.hpp"

namespace tercet::app {

// While alive and `failure` is set: if it is not destroyed within a few seconds, the error is said with this rank's
// number and the whole job is ended with its exit code. Without a failure it does nothing.
class Deadline {
 public:
  Deadline(Communicator& comm, const std::exception_ptr& failure);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  void wait_and_abort(Communicator& comm, const std::exception_ptr& failure);
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace tercet::app
