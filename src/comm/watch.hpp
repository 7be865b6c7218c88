// What one rank knows of all ranks, who keeps watch, and whether the job hangs: decisions without threads, clocks or
// MPI, so that any course of events can be tested.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tercet/comm/watchdog.hpp"

namespace tercet::comm {

struct Hang {
  std::vector<int> ranks;  // at fault
  std::string sentence;
};

// The three rules of watchdog.hpp.
std::optional<Hang> find_hang(std::span<const RankState> ranks, double timeout_s);

// Each rank reports to the keeper, and the keeper to all. Rank 0 keeps watch; when a rank has not heard of its keeper k
// for an eighth of the timeout (at least a second), it turns to 2k + 1, or keeps watch itself when that is not below
// its own number. So after ten steps at most some live rank among 1024 keeps watch, and whoever hears of a lower one
// turns back to that.
class Watch {
 public:
  Watch(int rank, int size);

  void pass(double seconds, double timeout_s);  // time, as this rank lived it
  void heard(const RankState& state);           // also of itself

  int keeper() const { return keeper_; }
  bool keeps() const { return keeper_ == rank_; }
  const std::vector<RankState>& ranks() const { return ranks_; }

  // Another rank has said that it is ending the job, less than a minute ago.
  bool left_to_another() const { return left_to_another_s_ > 0; }

  // Nothing unless this rank keeps watch, and has done so long enough to have heard of all who live; and while another
  // one is ending the job.
  std::optional<Hang> hang(double timeout_s) const;

 private:
  void turn_to(int keeper);
  // Not less than a second: on a busy machine a thread may sleep for so long.
  static double patience(double timeout_s) { return std::max(1.0, timeout_s / 8); }

  int rank_;
  int keeper_ = -1;
  double keeping_s_ = 0;
  double left_to_another_s_ = 0;  // the time that is left to it
  std::vector<RankState> ranks_;
  std::vector<bool> expected_;  // ranks that should be heard of: silence of the others means nothing
};

// A RankState as it travels between ranks, of one length.
std::string encode(const RankState& state);
RankState decode_rank_state(const std::string& wire);
std::size_t encoded_size();

}  // namespace tercet::comm
