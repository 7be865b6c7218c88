#include "tercet/comm/stop_control.hpp"

#include <array>
#include <chrono>

#include "tercet/base/error.hpp"
#include "tercet/base/stop_signal.hpp"
#include "tercet/base/text.hpp"

namespace tercet {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string words(StopReason reason) {
  switch (reason) {
    case StopReason::kTime:
      return "because its time is nearly over";
    case StopReason::kSignal:
      return "on a signal";
    case StopReason::kRequest:
      return "on request";
    case StopReason::kNone:
      break;
  }
  return "";
}

}  // namespace

std::string to_string(StopReason reason) {
  constexpr std::array<const char*, 4> kNames = {"none", "time", "signal", "request"};
  return kNames[static_cast<std::size_t>(reason)];
}

bool StopControl::due(double lead_s) {
  StopReason mine = stop_requested() ? StopReason::kSignal : StopReason::kNone;
  std::error_code ignored;
  if (comm_.is_root() && !options_.request_file.empty() && std::filesystem::exists(options_.request_file, ignored)) {
    mine = StopReason::kRequest;
  }
  // One clock decides: rank 0's time left goes round as minus milliseconds, the largest lead as milliseconds.
  const double left = comm_.is_root() && options_.end_time ? *options_.end_time - now() : 1e12;
  std::array<std::int64_t, 3> agreed = {static_cast<std::int64_t>(mine), static_cast<std::int64_t>(lead_s * 1e3),
                                        -static_cast<std::int64_t>(left * 1e3)};
  comm_.all_reduce(std::span<std::int64_t>(agreed), Reduce::kMax);
  reason_ = static_cast<StopReason>(agreed[0]);
  if (reason_ == StopReason::kNone && -agreed[2] <= agreed[1]) reason_ = StopReason::kTime;
  return reason_ != StopReason::kNone;
}

void StopControl::leave(const std::string& what) const {
  throw StopRequested(what + " stopped " + words(reason_), "", "start the same command again to go on");
}

}  // namespace tercet
