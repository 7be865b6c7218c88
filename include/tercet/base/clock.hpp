// The clock by which durations are measured.
#pragma once

#include <chrono>

namespace tercet {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace tercet
