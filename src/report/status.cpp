#include "tercet/report/status.hpp"

#include <chrono>
#include <ctime>

#include "tercet/base/error.hpp"
#include "tercet/base/file.hpp"
#include "tercet/base/strict_json.hpp"

namespace tercet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::uintmax_t kLargestStatus = 16 << 20;

json verdict_to_json(const std::optional<Verdict>& verdict) {
  if (!verdict) return {};
  auto gates = json::object();
  for (const GateResult& gate : verdict->gates) {
    gates[gate.name] = {{"verdict", gate.verdict},
                        {"severity", gate.severity},
                        {"value", gate.value},
                        {"wants", gate.comparison},
                        {"evidence", gate.evidence}};
  }
  return {{"passed", verdict->passed}, {"gates", gates}};
}

}  // namespace

std::string state_of(ExitCode code) {
  switch (code) {
    case ExitCode::kPassed:
      return "passed";
    case ExitCode::kGateFailed:
      return "gate_failed";
    case ExitCode::kStopped:
      return "stopped";
    default:
      return "failed";
  }
}

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string iso_time(double unix_seconds) {
  const auto whole = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  char text[32];
  if (::gmtime_r(&whole, &parts) == nullptr) return "";
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

double unix_time_of(const std::string& iso) {
  std::tm parts{};
  return ::strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts) != nullptr ? static_cast<double>(::timegm(&parts)) : 0;
}

json to_json(const RunStatus& status) {
  json object = {{"state", status.state},
                 {"exit_code", status.exit_code ? json(*status.exit_code) : json()},
                 {"sentence", status.sentence},
                 {"stop_reason", status.stop_reason.empty() ? json() : json(status.stop_reason)},
                 {"stage", status.stage},
                 {"attempt", status.attempt},
                 {"started", iso_time(status.started)},
                 {"updated", iso_time(status.updated)},
                 {"seconds", status.updated - status.started},
                 {"verdict", verdict_to_json(status.verdict)}};
  if (!status.rounds.is_null()) object["rounds"] = status.rounds;
  return object;
}

void write_status(const fs::path& run_folder, const RunStatus& status) {
  write_file_atomically(run_folder / "status.json",
                        to_json(status).dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::optional<json> read_status(const fs::path& run_folder) {
  const fs::path file = run_folder / "status.json";
  if (!fs::exists(file)) return std::nullopt;
  try {
    return parse_json_object(read_file(file, kLargestStatus), file.string());
  } catch (const DataError& error) {
    throw StoreError("cannot read the status of the run", error.what());
  }
}

bool has_ended(const fs::path& run_folder, int attempt) {
  const std::optional<json> status = read_status(run_folder);
  return status && status->contains("attempt") && status->at("attempt") == attempt && status->contains("exit_code") &&
         status->at("exit_code").is_number();
}

}  // namespace tercet
