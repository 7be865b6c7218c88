// Signs of life: that this process gets on, and where its main thread is. The watchdog (tercet/comm/watchdog.hpp) reads
// them; a process that gives none for its timeout counts as hanging. Hence the rule for every author: whatever may take
// longer than a minute beats at least that often, and whatever waits for other ranks says so.
//
// Everything here is thread-safe and works without any watchdog.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tercet::heartbeat {

// Work goes on. From any thread. It costs some ten nanoseconds: once a batch, a tensor, a megabyte, not once a number.
void beat() noexcept;

// Phases and waits of the calling thread are recorded from now on, those of every other thread are not. Runtime calls
// it for the main thread.
void follow_this_thread() noexcept;

// Beats of this thread do not count: it works whether the job gets on or not (the threads of the watchdog).
void mute_this_thread() noexcept;

// While alive: the name of the work under way. Phases nest ("fine-tune > evaluate") and end in reverse order. One that
// bears the name of the phase around it is not said twice.
class Phase {
 public:
  explicit Phase(std::string_view name) noexcept;
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;
  void at(std::uint64_t done, std::uint64_t total) noexcept;  // also beats; a total of 0: not known

 private:
  bool recorded_;
  std::size_t outer_length_ = 0;
  std::uint64_t outer_done_ = 0, outer_total_ = 0;
};

// While alive: this rank waits for others in a collective call. The outermost of nested ones counts.
class Waiting {
 public:
  explicit Waiting(std::string_view call, std::uint64_t bytes = 0) noexcept;
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  bool recorded_;
};

// Where the followed thread is. Texts that are too long are cut.
struct Place {
  std::uint64_t beats = 0;  // grows with every sign of life
  std::string phase;        // "" outside any
  std::uint64_t done = 0, total = 0;
  bool waiting = false;
  std::string call;         // the collective call under way, or the last one
  std::uint64_t bytes = 0;  // that it moves
  std::uint64_t calls = 0;  // collective calls begun so far: the same on ranks that are at the same point
  long thread = 0;          // the kernel's number of the followed thread; 0: none is followed
};
Place place();

}  // namespace tercet::heartbeat
