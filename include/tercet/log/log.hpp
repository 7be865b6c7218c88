// What the program says: events to the console and to one file per rank. The only user of spdlog and fmt is log.cpp.
//
// Two kinds of speech: info/warn/error are reached by every rank and shown once (rank 0's console; each rank's file);
// the *_here forms are said by one rank and carry its number. stdout is kept for results: the console is stderr.
//
// Everything here is thread-safe and works before open() as well (console only, as rank 0), so that tests and libraries
// need no set-up.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tercet/base/heartbeat.hpp"

namespace tercet::log {

enum class Level { kDebug, kInfo, kWarn, kError };

struct Options {
  int rank = 0;
  int world_size = 1;
  Level level = Level::kInfo;
  std::filesystem::path directory;  // empty: console only; else <directory>/rank-0000.log
  double line_interval_s = 10.0;    // progress lines when stderr is no terminal
};

// May be called again (before the rank is known, then with it). Throws StoreError when the folder cannot be written.
void open(const Options& options);
void close();  // flushes and leaves the file; the console stays. Safe to call twice

void debug(std::string_view message);
void info(std::string_view message);
void warn(std::string_view message);
void error(std::string_view message);
void info_here(std::string_view message);
void warn_here(std::string_view message);
void error_here(std::string_view message);

// Progress of one stage: one live line on a terminal (rate and time left), else a line every line_interval_s.
// Silent on ranks other than 0. The destructor ends the line with the total and the time it took. A total of 0 means
// that the end is not known: no percentage and no time left. On every rank it is a heartbeat::Phase, and each update is
// a sign of life. For use by one thread.
class Progress {
 public:
  Progress(std::string stage, std::uint64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(std::uint64_t done, std::string_view suffix = "");  // e.g. suffix "loss 2.31"

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(std::string_view suffix, double seconds) const;
  std::string stage_;
  heartbeat::Phase phase_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::string unit_;
  bool live_ = false;
  Clock::time_point start_;
  Clock::time_point drawn_;   // last time the live line changed
  Clock::time_point logged_;  // last time a whole line was written
};

}  // namespace tercet::log
