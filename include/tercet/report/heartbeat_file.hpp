// <run>/heartbeat.json: where each rank of a running job is. Replaced every few seconds by the rank that keeps watch,
// and removed when the job ends by itself: a file that is there belongs to a job that runs, or to one that was killed
// or hung, and shows where its ranks were last.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "tercet/comm/watchdog.hpp"

namespace tercet {

struct Heartbeat {
  double time = 0;  // when it was written, seconds since 1970
  std::vector<RankState> ranks;
};

nlohmann::json to_json(const Heartbeat& heartbeat);
void write_heartbeat(const std::filesystem::path& run_folder, const Heartbeat& heartbeat);  // throws StoreError
std::optional<Heartbeat> read_heartbeat(const std::filesystem::path& run_folder);  // nullopt: absent, or unreadable

// The end of a job that its watchdog ends: the last heartbeat, and in a status.json that says "running" the state, the
// exit code and the sentence. Throws StoreError.
void record_ending(const std::filesystem::path& run_folder, const Ending& ending);

}  // namespace tercet
