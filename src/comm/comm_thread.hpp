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
#include <thread>

#include "tercet/comm/communicator.hpp"

namespace tercet::comm {

class CommThread {
 public:
  CommThread();

  // What was submitted is still done: other ranks count on it. If they do not join in for a few seconds (this rank is
  // leaving because of an error that they do not know), the thread is left behind in its call, so that the error can be
  // said; what a call needs it must therefore own.
  ~CommThread();
  CommThread(const CommThread&) = delete;
  CommThread& operator=(const CommThread&) = delete;

  // The returned work's wait() sleeps until `call` has returned, and throws what it threw.
  std::unique_ptr<Work> submit(std::function<void()> call);

 private:
  struct Task;
  class Handle;
  struct Shared {  // between this object and its thread, which may outlive it
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<Task>> queue;
    bool busy = false;
    bool stopping = false;
  };
  static void run(Shared& shared);

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread thread_;
};

}  // namespace tercet::comm
