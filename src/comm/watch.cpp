#include "comm/watch.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "tercet/base/text.hpp"

namespace tercet {
namespace comm {
namespace {

std::string steps_of(const heartbeat::Place& place) {
  if (place.done == 0 && place.total == 0) return "";
  return " " + std::to_string(place.done) + (place.total > 0 ? "/" + std::to_string(place.total) : "");
}

std::string phase_of(const RankState& state) {
  return (state.place.phase.empty() ? "no phase" : state.place.phase) + steps_of(state.place);
}

std::string call_of(const heartbeat::Place& place) {
  const std::string bytes = place.bytes > 0 ? " of " + format_bytes(place.bytes) : "";
  return place.call + bytes + " (call " + std::to_string(place.calls) + ")";
}

// What the main thread does, as far as can be seen from outside.
std::string activity_of(const RankState& state) {
  if (state.place.waiting) return "waits in " + call_of(state.place);
  const std::string after = state.place.calls > 0 ? " after " + call_of(state.place) : "";
  switch (state.thread_state) {
    case 'R':
      return "computes" + after;
    case 'S':
      return "sleeps" + after;
    case 'D':
      return "waits for a disk or device" + after;
    default:
      return "works" + after;
  }
}

std::string fault_of(const RankState& state, double timeout_s) {
  if (!state.known) return "rank " + std::to_string(state.rank) + " was never heard of";
  const std::string who = "rank " + std::to_string(state.rank) + " on " + state.host;
  if (state.silent_s >= timeout_s) {
    return who + " was not heard of for " + format_duration(state.silent_s) + ", last in " + phase_of(state);
  }
  return who + " gave no sign of life for " + format_duration(state.idle_s + state.silent_s) + " in " +
         phase_of(state) + " (" + activity_of(state) + ")";
}

constexpr double kTimeToEnd = 60;       // seconds, for a rank that ends the job
constexpr std::size_t kNamedRanks = 4;  // in one sentence; the table names all

std::string sentence_of(std::span<const RankState> ranks, const std::vector<int>& hanging, double timeout_s) {
  std::string text = "the job hangs: ";
  for (std::size_t i = 0; i < hanging.size() && i < kNamedRanks; ++i) {
    text += (i > 0 ? "; " : "") + fault_of(ranks[static_cast<std::size_t>(hanging[i])], timeout_s);
  }
  if (hanging.size() > kNamedRanks) text += "; and " + std::to_string(hanging.size() - kNamedRanks) + " more ranks";
  return text;
}

bool is_at_fault(const RankState& state, double timeout_s) {
  if (state.silent_s >= timeout_s) return true;
  return state.known && !state.place.waiting && state.idle_s + state.silent_s >= timeout_s;
}

// Of a rank that is known and heard of.
bool waits_too_long(const RankState& state, double timeout_s) {
  return state.known && state.place.waiting && state.idle_s + state.silent_s >= timeout_s;
}

struct Wire {  // travels as bytes, so every byte is set
  std::int32_t rank, pid, waiting, thread_state, ends_job, unused;
  double idle_s;
  std::uint64_t beats, done, total, bytes, calls, memory_bytes;
  char host[64], phase[100], call[36];
};
static_assert(std::is_trivially_copyable_v<Wire>);

template <std::size_t N>
void copy_text(const std::string& text, char (&target)[N]) {
  std::memcpy(target, text.data(), std::min(text.size(), N - 1));
}

}  // namespace

std::optional<Hang> find_hang(std::span<const RankState> ranks, double timeout_s) {
  Hang hang;
  for (const RankState& state : ranks) {
    if (is_at_fault(state, timeout_s)) hang.ranks.push_back(state.rank);
  }
  if (!hang.ranks.empty()) {
    hang.sentence = sentence_of(ranks, hang.ranks, timeout_s);
    return hang;
  }
  if (!std::all_of(ranks.begin(), ranks.end(), [&](const auto& state) { return waits_too_long(state, timeout_s); })) {
    return std::nullopt;
  }
  for (const RankState& state : ranks) hang.ranks.push_back(state.rank);
  hang.sentence = sentence_of(ranks, hang.ranks, timeout_s) + "; all ranks wait for each other";
  return hang;
}

Watch::Watch(int rank, int size)
    : rank_(rank), ranks_(static_cast<std::size_t>(size)), expected_(static_cast<std::size_t>(size)) {
  for (int r = 0; r < size; ++r) ranks_[static_cast<std::size_t>(r)].rank = r;
  turn_to(0);
}

// Silence counts from the moment at which a rank is first expected to be heard of. The keepers that were given up stay
// expected, so that their silence goes on counting.
void Watch::turn_to(int keeper) {
  const bool back = keeper < keeper_;
  keeper_ = keeper;
  keeping_s_ = 0;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const bool expected = static_cast<int>(r) == keeper || keeps() || (expected_[r] && !back);
    if (!expected || !expected_[r]) ranks_[r].silent_s = 0;
    expected_[r] = expected;
  }
}

void Watch::pass(double seconds, double timeout_s) {
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    if (expected_[r] && static_cast<int>(r) != rank_) ranks_[r].silent_s += seconds;
  }
  left_to_another_s_ = std::max(0.0, left_to_another_s_ - seconds);
  if (keeps()) {
    keeping_s_ += seconds;
  } else if (ranks_[static_cast<std::size_t>(keeper_)].silent_s >= patience(timeout_s)) {
    turn_to(std::min(rank_, 2 * keeper_ + 1));
  }
}

void Watch::heard(const RankState& state) {
  if (state.rank < 0 || static_cast<std::size_t>(state.rank) >= ranks_.size()) return;
  RankState& known = ranks_[static_cast<std::size_t>(state.rank)];
  known = state;
  known.known = true;
  known.silent_s = 0;
  if (state.ends_job && state.rank != rank_) left_to_another_s_ = kTimeToEnd;
  if (state.rank < keeper_) turn_to(state.rank);
}

std::optional<Hang> Watch::hang(double timeout_s) const {
  if (left_to_another() || !keeps() || keeping_s_ < patience(timeout_s)) return std::nullopt;
  return find_hang(ranks_, timeout_s);
}

std::string encode(const RankState& state) {
  Wire wire{};
  wire.rank = state.rank;
  wire.pid = state.pid;
  wire.waiting = state.place.waiting ? 1 : 0;
  wire.thread_state = state.thread_state;
  wire.ends_job = state.ends_job ? 1 : 0;
  wire.idle_s = state.idle_s;
  wire.beats = state.place.beats;
  wire.done = state.place.done;
  wire.total = state.place.total;
  wire.bytes = state.place.bytes;
  wire.calls = state.place.calls;
  wire.memory_bytes = state.memory_bytes;
  copy_text(state.host, wire.host);
  copy_text(state.place.phase, wire.phase);
  copy_text(state.place.call, wire.call);
  return std::string(reinterpret_cast<const char*>(&wire), sizeof wire);
}

RankState decode_rank_state(const std::string& bytes) {
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  RankState state;
  state.rank = wire.rank;
  state.known = true;
  state.pid = wire.pid;
  state.place.waiting = wire.waiting != 0;
  state.thread_state = static_cast<char>(wire.thread_state);
  state.ends_job = wire.ends_job != 0;
  state.idle_s = wire.idle_s;
  state.place.beats = wire.beats;
  state.place.done = wire.done;
  state.place.total = wire.total;
  state.place.bytes = wire.bytes;
  state.place.calls = wire.calls;
  state.memory_bytes = wire.memory_bytes;
  state.host = wire.host;
  state.place.phase = wire.phase;
  state.place.call = wire.call;
  return state;
}

std::size_t encoded_size() {
  return sizeof(Wire);
}

}  // namespace comm

std::string table_of(const std::vector<RankState>& ranks) {
  std::vector<std::vector<std::string>> rows = {{"rank", "host", "process", "phase", "main thread", "no sign for"}};
  for (const RankState& state : ranks) {
    if (!state.known) {
      rows.push_back({std::to_string(state.rank), "?", "?", "?", "never heard of", format_duration(state.silent_s)});
      continue;
    }
    rows.push_back({std::to_string(state.rank), state.host, std::to_string(state.pid), comm::phase_of(state),
                    comm::activity_of(state), format_duration(state.idle_s + state.silent_s)});
  }
  return format_table(rows);
}

}  // namespace tercet
