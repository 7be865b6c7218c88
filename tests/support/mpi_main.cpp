// main() of the programs that are tested under mpirun. Rank 0 prints as GoogleTest does; the others speak only to say
// what failed there. A test fails everywhere when it fails anywhere, so every rank leaves with the same exit code.
#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tercet/log/log.hpp"

namespace tercet::test {
namespace {

constexpr std::chrono::seconds kPatience{20};
Runtime* the_runtime = nullptr;
Communicator* the_world = nullptr;

// A rank whose test failed half-way leaves the others waiting inside a collective call. It ends the job then.
class Deadline {
 public:
  explicit Deadline(std::string test) : test_(std::move(test)), thread_([this] { run(); }) {}
  ~Deadline() {
    {
      const std::lock_guard lock(mutex_);
      reached_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  void run() {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kPatience, [this] { return reached_; })) return;
    std::fprintf(stderr, "rank %d: %s failed here and other ranks still wait in it; ending all ranks\n",
                 the_world->rank(), test_.c_str());
    the_world->abort(1);
  }
  std::string test_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  std::thread thread_;
};

std::string full_name(const testing::TestInfo& test) {
  return std::string(test.test_suite_name()) + "." + test.name();
}

// Collective at the end of each test: all ranks learn whether it failed on any.
class Agreement : public testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const testing::TestPartResult& part) override {
    if (!part.failed() || the_world->is_root()) return;
    std::fprintf(stderr, "rank %d: %s:%d: %s\n", the_world->rank(),
                 part.file_name() != nullptr ? part.file_name() : "?", part.line_number(), part.summary());
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    const bool failed = test.result()->Failed();
    std::string names;
    {
      std::unique_ptr<Deadline> deadline;
      if (failed) deadline = std::make_unique<Deadline>(full_name(test));
      const auto states = the_runtime->control().all_gather(failed ? "x" : "");
      for (std::size_t rank = 0; rank < states.size(); ++rank) {
        if (!states[rank].empty()) names.append(" ").append(std::to_string(rank));
      }
    }
    if (names.empty()) return;
    any_failed_ = true;
    // Listeners hear of an end in reverse order, so this still counts before the printer gives its verdict.
    if (the_world->is_root() && !failed) ADD_FAILURE() << full_name(test) << " failed on rank(s)" << names;
  }
  bool any_failed() const { return any_failed_; }

 private:
  bool any_failed_ = false;
};

int run_all(int* argc, char** argv) {
  testing::InitGoogleTest(argc, argv);
  auto* const agreement = new Agreement;  // owned by GoogleTest
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (!the_world->is_root()) {
    delete listeners.Release(listeners.default_result_printer());
    delete listeners.Release(listeners.default_xml_generator());
  }
  listeners.Append(agreement);
  const int result = RUN_ALL_TESTS();
  return result != 0 || agreement->any_failed() ? 1 : 0;
}

}  // namespace

Communicator& world() {
  return *the_world;
}
Runtime& runtime() {
  return *the_runtime;
}

}  // namespace tercet::test

namespace {

int run_as_rank(int argc, char** argv) {
  using namespace tercet;
  Runtime runtime(&argc, &argv);
  log::Options options;
  options.rank = runtime.control().rank();
  options.world_size = runtime.control().size();
  options.level = log::Level::kWarn;
  log::open(options);
  try {
    cuda_device_count();  // LibTorch looks for its CUDA library once, at the first question about it
    CommOptions comm_options;
    comm_options.device = "cpu";
    const std::unique_ptr<Communicator> world = runtime.connect(comm_options);
    test::the_runtime = &runtime;
    test::the_world = world.get();
    return test::run_all(&argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", runtime.control().rank(), error.what());
    runtime.control().abort(1);
    return 1;  // not reached; the compiler cannot tell, as the call above is virtual
  }
}

}  // namespace

// Without the destructors of LibTorch's static objects, as `tercet` ends (src/app/main.cpp).
int main(int argc, char** argv) {
  const int code = run_as_rank(argc, argv);
#ifdef TERCET_REPORTS_AT_EXIT
  return code;
#else
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
#endif
}
