// <run>/status.json: in words what became of a run, for scripts and people. Written by rank 0, replaced atomically.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tercet/base/error.hpp"
#include "tercet/gate/gates.hpp"

namespace tercet {

struct RunStatus {
  std::string state = "running";  // running | passed | gate_failed | stopped | failed
  std::optional<int> exit_code;   // nullopt while running
  std::string sentence;           // what happened, e.g. the error's text
  std::string stop_reason;        // of a stopped run: request | signal | time
  std::string stage;              // the one under way, or the last one
  int attempt = 1;
  double started = 0, updated = 0;  // seconds since 1970
  std::optional<Verdict> verdict;
  nlohmann::json rounds;  // with several rounds, as in the run file; null: one
};

std::string state_of(ExitCode code);          // of a run that ended with it
double unix_time();                           // now, seconds since 1970
std::string iso_time(double unix_seconds);    // "2026-11-23T23:31:00Z"
double unix_time_of(const std::string& iso);  // the other way; 0 when it is none

nlohmann::json to_json(const RunStatus& status);
void write_status(const std::filesystem::path& run_folder, const RunStatus& status);  // throws StoreError
std::optional<nlohmann::json> read_status(const std::filesystem::path& run_folder);   // nullopt: absent; StoreError
// Whether status.json says already how this attempt ended.
bool has_ended(const std::filesystem::path& run_folder, int attempt);

}  // namespace tercet
