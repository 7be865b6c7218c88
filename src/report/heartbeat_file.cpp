#include "tercet/report/heartbeat_file.hpp"

#include <cstdint>
#include <limits>

#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"
#include "tercet/report/status.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::uintmax_t kLargestFile = 64 << 20;

fs::path file_of(const fs::path& run_folder) {
  return run_folder / "heartbeat.json";
}

json rank_to_json(const RankState& rank) {
  if (!rank.known) return {{"rank", rank.rank}, {"known", false}, {"silent_s", rank.silent_s}};
  return {{"rank", rank.rank},
          {"known", true},
          {"host", rank.host},
          {"pid", rank.pid},
          {"phase", rank.place.phase},
          {"done", rank.place.done},
          {"total", rank.place.total},
          {"beats", rank.place.beats},
          {"waiting", rank.place.waiting},
          {"call", rank.place.call},
          {"call_bytes", rank.place.bytes},
          {"calls", rank.place.calls},
          {"idle_s", rank.idle_s},
          {"silent_s", rank.silent_s},
          {"thread_state", rank.thread_state == 0 ? "" : std::string(1, rank.thread_state)},
          {"memory_bytes", rank.memory_bytes}};
}

template <class Integer>
void read_integer(const json& value, const char* key, Integer& number) {
  constexpr std::int64_t kHigh = sizeof(Integer) < 8 ? std::numeric_limits<int>::max() : INT64_MAX;
  number = static_cast<Integer>(json_integer(value.at(key), key, "heartbeat.json", 0, kHigh));
}

RankState rank_from_json(const json& value) {
  RankState rank;
  read_integer(value, "rank", rank.rank);
  rank.known = value.at("known");
  rank.silent_s = value.at("silent_s");
  if (!rank.known) return rank;
  rank.host = value.at("host");
  read_integer(value, "pid", rank.pid);
  rank.place.phase = value.at("phase");
  read_integer(value, "done", rank.place.done);
  read_integer(value, "total", rank.place.total);
  read_integer(value, "beats", rank.place.beats);
  rank.place.waiting = value.at("waiting");
  rank.place.call = value.at("call");
  read_integer(value, "call_bytes", rank.place.bytes);
  read_integer(value, "calls", rank.place.calls);
  rank.idle_s = value.at("idle_s");
  const std::string state = value.at("thread_state");
  rank.thread_state = state.empty() ? '\0' : state.front();
  read_integer(value, "memory_bytes", rank.memory_bytes);
  return rank;
}

std::string text_of(const json& value) {
  return value.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

json to_json(const Heartbeat& heartbeat) {
  json ranks = json::array();
  for (const RankState& rank : heartbeat.ranks) ranks.push_back(rank_to_json(rank));
  return {{"time", heartbeat.time}, {"written", iso_time(heartbeat.time)}, {"ranks", ranks}};
}

void write_heartbeat(const fs::path& run_folder, const Heartbeat& heartbeat) {
  replace_file(file_of(run_folder), text_of(to_json(heartbeat)));
}

std::optional<Heartbeat> read_heartbeat(const fs::path& run_folder) {
  try {
    if (!fs::exists(file_of(run_folder))) return std::nullopt;
    const json file = parse_json_object(read_file(file_of(run_folder), kLargestFile), "heartbeat.json");
    Heartbeat heartbeat;
    heartbeat.time = file.at("time");
    for (const json& rank : file.at("ranks")) heartbeat.ranks.push_back(rank_from_json(rank));
    return heartbeat;
  } catch (const json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void record_ending(const fs::path& run_folder, const Ending& ending) {
  if (!ending.ranks.empty()) write_heartbeat(run_folder, {unix_time(), ending.ranks});
  std::optional<json> status = read_status(run_folder);
  if (!status || status->value("state", "") != "running") return;
  (*status)["state"] = state_of(ending.code);
  (*status)["exit_code"] = static_cast<int>(ending.code);
  (*status)["sentence"] = ending.sentence;
  if (!ending.ranks.empty()) (*status)["stop_reason"] = "hang";
  (*status)["updated"] = iso_time(unix_time());
  (*status)["seconds"] = unix_time() - unix_time_of(status->value("started", ""));
  write_file_atomically(run_folder / "status.json", text_of(*status));
}

}  // namespace tercet
