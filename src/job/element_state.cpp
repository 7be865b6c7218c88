#include "element_state.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/report/status.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet::job {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

template <class Value>
json or_null(const std::optional<Value>& value) {
  return value ? json(*value) : json();
}

template <class Value>
std::optional<Value> or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<Value>());
}

json to_json(const ElementAttempt& attempt) {
  return {{"started", attempt.started},
          {"ended", or_null(attempt.ended)},
          {"exit_code", or_null(attempt.exit_code)},
          {"reason", attempt.reason},
          {"mark", attempt.mark},
          {"progressed", attempt.progressed}};
}

ElementAttempt attempt_from_json(const json& object) {
  return {object.at("started").get<double>(),   or_none<double>(object.at("ended")),
          or_none<int>(object.at("exit_code")), object.at("reason").get<std::string>(),
          object.at("mark").get<std::string>(), object.at("progressed").get<bool>()};
}

ElementState state_from_json(const json& object) {
  ElementState state;
  object.at("state").get_to(state.state);
  object.at("reason").get_to(state.reason);
  object.at("published").get_to(state.published);
  for (const json& attempt : object.at("attempts")) state.attempts.push_back(attempt_from_json(attempt));
  if (const json& regression = object.at("regression"); !regression.is_null()) {
    state.regression = regression_from_json(regression);
  }
  return state;
}

bool stopped(const ElementAttempt& attempt) {
  return attempt.exit_code == code(ExitCode::kStopped);
}

// Where a job keeps checkpoints and logs of work: its own folder, and one for each round.
std::vector<fs::path> folders_of(const fs::path& run) {
  std::error_code absent;
  std::vector<fs::path> folders = {run};
  for (const auto& entry : fs::directory_iterator(run / "rounds", absent)) folders.push_back(entry.path());
  return folders;
}

// Of each of the folders.
std::string newest_checkpoints(const fs::path& run) {
  std::map<std::string, std::string> newest;
  for (const fs::path& folder : folders_of(run)) {
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(folder / "checkpoints", absent)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-")) newest[folder.string()] = std::max(newest[folder.string()], name);
    }
  }
  std::string text;
  for (const auto& [folder, name] : newest) text += name + " ";
  return text;
}

std::size_t finished_stages(const fs::path& run) {
  std::set<std::string> names;
  try {
    if (!fs::exists(run / "journal.jsonl")) return 0;
    for (const StageRecord& stage : read_journal(run / "journal.jsonl").stages) names.insert(stage.name);
  } catch (const StoreError&) {  // a damaged journal shows no progress
  }
  return names.size();
}

// The head of a log of work, its first line, comes back with each attempt.
std::uintmax_t bytes_of_head(const fs::path& log) {
  std::ifstream file(log, std::ios::binary);
  std::string head;
  std::getline(file, head);
  return head.size() + (file.eof() ? 0 : 1);
}

// The logs of finished units of work grow by what was not computed before.
std::uintmax_t finished_work(const fs::path& run) {
  std::uintmax_t bytes = 0;
  for (const fs::path& folder : folders_of(run)) {
    std::error_code absent;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "work", absent)) {
      std::error_code gone;
      if (entry.path().extension() != ".log" || !entry.is_regular_file(gone)) continue;
      const std::uintmax_t size = entry.file_size(gone);
      if (!gone) bytes += size - std::min(size, bytes_of_head(entry.path()));
    }
  }
  return bytes;
}

}  // namespace

ElementState read_element_state(const fs::path& file) {
  if (!fs::exists(file)) return {};
  try {
    return state_from_json(json::parse(read_file(file)));
  } catch (const json::exception& error) {
    throw StoreError("cannot read '" + file.string() + "'", error.what(),
                     "remove it to start the element's count of attempts anew");
  }
}

void write_element_state(const fs::path& file, const ElementState& state) {
  json attempts = json::array();
  for (const ElementAttempt& attempt : state.attempts) attempts.push_back(to_json(attempt));
  const json object = {{"state", state.state},
                       {"reason", state.reason},
                       {"published", state.published},
                       {"regression", state.regression ? to_json(*state.regression) : json()},
                       {"attempts", attempts}};
  write_file_atomically(file, object.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

bool has_verdict(const ElementState& state) {
  return state.state == "passed" || state.state == "gate_failed" || state.state == "regressed";
}

int exit_code_of(const ElementState& state) {
  if (state.state == "passed") return code(ExitCode::kPassed);
  if (has_verdict(state)) return code(ExitCode::kGateFailed);
  if (state.state == "stopped") return code(ExitCode::kStopped);
  if (state.state != "failed" || state.attempts.empty()) return code(ExitCode::kInternal);
  return state.attempts.back().exit_code.value_or(code(ExitCode::kInternal));
}

std::string why_given_up(const std::vector<ElementAttempt>& attempts, const LimitsSection& limits) {
  const auto failed =
      std::count_if(attempts.begin(), attempts.end(), [](const ElementAttempt& attempt) { return !stopped(attempt); });
  if (failed >= limits.attempts) {
    return "given up after " + std::to_string(failed) + " attempts (limits.attempts)";
  }
  std::int64_t idle = 0;
  for (auto attempt = attempts.rbegin(); attempt != attempts.rend() && !attempt->progressed; ++attempt) {
    if (!stopped(*attempt)) ++idle;
  }
  if (idle >= limits.idle_attempts) {
    return "given up after " + std::to_string(idle) + " attempts in a row without progress (limits.idle_attempts)";
  }
  return "";
}

std::string progress_mark(const fs::path& run) {
  return newest_checkpoints(run) + "/" + std::to_string(finished_stages(run)) + "/" +
         std::to_string(finished_work(run));
}

void close_unfinished_attempt(ElementState& state, const std::string& mark_now) {
  if (state.attempts.empty() || state.attempts.back().ended) return;
  ElementAttempt& last = state.attempts.back();
  last.ended = unix_time();
  last.reason = "the driver was killed, or the machine went down";
  last.progressed = mark_now != last.mark;
}

}  // namespace tercet::job
