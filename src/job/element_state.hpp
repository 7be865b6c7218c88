// What the driver of a family or study knows of one element: its attempts and how it ended. One JSON file, replaced
// atomically; an attempt is written down before it starts, so that one whose driver was killed counts too.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "family_regression.hpp"
#include "tercet/base/error.hpp"
#include "tercet/config/element_config.hpp"

namespace tercet::job {

// As a process ends with it.
constexpr int code(ExitCode value) {
  return static_cast<int>(value);
}

struct ElementAttempt {
  double started = 0;           // seconds since 1970
  std::optional<double> ended;  // nullopt: under way, or its driver was killed
  std::optional<int> exit_code;
  std::string reason;  // why there is no verdict
  std::string mark;    // progress_mark() of the run when it started
  bool progressed = false;
};

struct ElementState {
  // waiting | running | stopped | failed | given_up | passed | gate_failed | regressed
  std::string state = "waiting";
  std::string reason;  // of anything but a pass
  std::vector<ElementAttempt> attempts;
  // In a family.
  std::optional<RegressionVerdict> regression;  // of a run that passed its own gates
  std::string published;                        // folder; empty: nothing was published
};

ElementState read_element_state(const std::filesystem::path& file);  // absent: waiting. Throws StoreError
void write_element_state(const std::filesystem::path& file, const ElementState& state);

bool has_verdict(const ElementState& state);  // passed, gate_failed, regressed: nothing is left to do this night
int exit_code_of(const ElementState& state);  // 0, 3, 64, 65, 70, 74, 75

// Why the element is not started again, or "". Attempts that were stopped on request do not count.
std::string why_given_up(const std::vector<ElementAttempt>& attempts, const LimitsSection& limits);

// Changes whenever a run has got further: a newer checkpoint, another finished stage, more finished work.
std::string progress_mark(const std::filesystem::path& run);

// Ends an attempt whose driver was killed. No effect on others.
void close_unfinished_attempt(ElementState& state, const std::string& mark_now);

}  // namespace tercet::job
