#include "comm/comm_thread.hpp"

#include <chrono>
#include <cstdlib>
#include <exception>
#include <future>
#include <utility>

#include "comm/mpi_support.hpp"
#include "tercet/base/error.hpp"
#include "tercet/log/log.hpp"

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
  void wait() override { done_.get(); }  // throws what the call threw

 private:
  std::shared_future<void> done_;
};

CommThread::CommThread(std::string where) : where_(std::move(where)), thread_([this] { run(); }) {}

CommThread::~CommThread() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, kPatience, [this] { return !busy_ && queue_.empty(); })) {
      log::error_here("a reduction of " + where_ +
                      " still waits for other ranks while its communicator is closed; ending the job");
      log::close();
      if (mpi_is_usable()) MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::kInternal));
      std::_Exit(static_cast<int>(ExitCode::kInternal));
    }
  }
  thread_.join();
}

std::unique_ptr<Work> CommThread::submit(std::function<void()> call) {
  auto task = std::make_shared<Task>();
  task->call = std::move(call);
  std::shared_future<void> done = task->done.get_future().share();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  changed_.notify_all();
  return std::make_unique<Handle>(std::move(done));
}

void CommThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;  // stopping, and nothing is left to do
    const std::shared_ptr<Task> task = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    try {
      task->call();
      task->call = nullptr;  // lets go of the tensor before the waiter goes on
      task->done.set_value();
    } catch (...) {
      task->done.set_exception(std::current_exception());
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace tercet::comm
