#include "comm/comm_thread.hpp"

#include <chrono>
#include <exception>
#include <future>
#include <utility>

#include "tercet/base/heartbeat.hpp"

namespace tercet::comm {
namespace {
constexpr std::chrono::seconds kPatience{5};
}

struct CommThread::Task {
  std::function<void()> call;
  std::promise<void> done;
};

class CommThread::Handle : public Work {
 public:
  explicit Handle(std::shared_future<void> done) : done_(std::move(done)) {}
  void wait() override {
    const heartbeat::Waiting waiting("the end of a reduction");
    done_.get();  // throws what the call threw
  }

 private:
  std::shared_future<void> done_;
};

CommThread::CommThread() : thread_([shared = shared_] { run(*shared); }) {}

CommThread::~CommThread() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
  const bool done =
      shared_->changed.wait_for(lock, kPatience, [&] { return !shared_->busy && shared_->queue.empty(); });
  lock.unlock();
  if (done) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

std::unique_ptr<Work> CommThread::submit(std::function<void()> call) {
  auto task = std::make_shared<Task>();
  task->call = std::move(call);
  std::shared_future<void> done = task->done.get_future().share();
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->queue.push_back(std::move(task));
  }
  shared_->changed.notify_all();
  return std::make_unique<Handle>(std::move(done));
}

void CommThread::run(Shared& shared) {
  std::unique_lock lock(shared.mutex);
  while (true) {
    shared.changed.wait(lock, [&] { return shared.stopping || !shared.queue.empty(); });
    if (shared.queue.empty()) return;  // stopping, and nothing is left to do
    const std::shared_ptr<Task> task = std::move(shared.queue.front());
    shared.queue.pop_front();
    shared.busy = true;
    lock.unlock();
    try {
      task->call();
      task->call = nullptr;  // lets go of the tensor before the waiter goes on
      task->done.set_value();
    } catch (...) {
      task->done.set_exception(std::current_exception());
    }
    lock.lock();
    shared.busy = false;
    shared.changed.notify_all();
  }
}

}  // namespace tercet::comm
