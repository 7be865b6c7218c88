#include "tercet/base/heartbeat.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

namespace tercet::heartbeat {
namespace {

// A text of bounded length: recording a phase must neither allocate nor throw.
template <std::size_t N>
class ShortText {
 public:
  void append(std::string_view text) noexcept {
    const std::size_t length = std::min(text.size(), N - length_);
    std::memcpy(text_ + length_, text.data(), length);
    length_ += length;
  }
  void cut(std::size_t length) noexcept { length_ = std::min(length, length_); }
  std::size_t length() const noexcept { return length_; }
  bool ends_with(std::string_view text) const noexcept { return std::string_view(text_, length_).ends_with(text); }
  std::string text() const { return std::string(text_, length_); }

 private:
  char text_[N];
  std::size_t length_ = 0;
};

struct Record {
  std::mutex mutex;
  ShortText<96> phase;
  std::uint64_t done = 0, total = 0;
  int waits = 0;  // nested
  ShortText<32> call;
  std::uint64_t bytes = 0, calls = 0;
  long thread = 0;
};

constinit std::atomic<std::uint64_t> beats{0};
constinit thread_local bool followed = false;
constinit thread_local bool muted = false;

// Never destroyed: phases may end while the process does.
Record& record() {
  static Record* const instance = new Record;
  return *instance;
}

}  // namespace

void beat() noexcept {
  if (!muted) beats.fetch_add(1, std::memory_order_relaxed);
}

void follow_this_thread() noexcept {
  followed = true;
  const std::lock_guard lock(record().mutex);
  record().thread = ::syscall(SYS_gettid);
}

void mute_this_thread() noexcept {
  muted = true;
}

Phase::Phase(std::string_view name) noexcept : recorded_(followed) {
  beat();
  if (!recorded_) return;
  Record& now = record();
  const std::lock_guard lock(now.mutex);
  outer_length_ = now.phase.length();
  outer_done_ = now.done;
  outer_total_ = now.total;
  if (!now.phase.ends_with(name)) {
    if (outer_length_ > 0) now.phase.append(" > ");
    now.phase.append(name);
  }
  now.done = now.total = 0;
}

Phase::~Phase() {
  beat();
  if (!recorded_) return;
  Record& now = record();
  const std::lock_guard lock(now.mutex);
  now.phase.cut(outer_length_);
  now.done = outer_done_;
  now.total = outer_total_;
}

void Phase::at(std::uint64_t done, std::uint64_t total) noexcept {
  beat();
  if (!recorded_) return;
  Record& now = record();
  const std::lock_guard lock(now.mutex);
  now.done = done;
  now.total = total;
}

Waiting::Waiting(std::string_view call, std::uint64_t bytes) noexcept : recorded_(followed) {
  beat();
  if (!recorded_) return;
  Record& now = record();
  const std::lock_guard lock(now.mutex);
  if (now.waits++ > 0) return;
  now.call.cut(0);
  now.call.append(call);
  now.bytes = bytes;
  ++now.calls;
}

Waiting::~Waiting() {
  beat();
  if (!recorded_) return;
  const std::lock_guard lock(record().mutex);
  --record().waits;
}

Place place() {
  Record& now = record();
  Place place;
  place.beats = beats.load(std::memory_order_relaxed);
  const std::lock_guard lock(now.mutex);
  place.phase = now.phase.text();
  place.done = now.done;
  place.total = now.total;
  place.waiting = now.waits > 0;
  place.call = now.call.text();
  place.bytes = now.bytes;
  place.calls = now.calls;
  place.thread = now.thread;
  return place;
}

}  // namespace tercet::heartbeat
