// A thread that makes blocking communication calls one after the other while the caller computes.
//
// Debian's Open MPI has no progress thread: a non-blocking reduction moves only while someone is inside MPI. A thread
// of ours inside a blocking call is that someone. It sleeps while the queue is empty.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tercet/comm/communicator.hpp"

namespace tercet::comm {

class CommThread {
 public:
  // `where` names the rank in messages.
  explicit CommThread(std::string where);

  // What was submitted is still done: other ranks count on it. If they never join in (this rank is being torn down by
  // an error), the whole job is aborted after a few seconds: a hang would be worse.
  ~CommThread();
  CommThread(const CommThread&) = delete;
  CommThread& operator=(const CommThread&) = delete;

  // The returned work's wait() sleeps until `call` has returned, and throws what it threw.
  std::unique_ptr<Work> submit(std::function<void()> call);

 private:
  struct Task;
  class Handle;
  void run();

  std::string where_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Task>> queue_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the members above
};

}  // namespace tercet::comm
