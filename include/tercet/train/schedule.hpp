// Learning-rate schedule: linear warm-up, the peak held for a while, then constant, linear, two-stage or cosine decay
// to a final share of the peak.
#pragma once

#include <cstdint>
#include <string>

namespace tercet {

struct ScheduleOptions {
  std::int64_t total_steps = 1;
  std::int64_t warmup_steps = 0;
  std::string decay = "linear";  // constant | linear | two_stage | cosine
  double final_factor = 0.0;     // share of the peak that the decay arrives at after the last step
  // two_stage: linear, times `second_stage` from the share `second_stage_at` of the steps on (The Era of 1-bit LLMs:
  // Training Tips, Code and FAQ, Microsoft 2024: 2/3 from the middle on).
  double second_stage = 0.667, second_stage_at = 0.5;
  double hold = 0;  // share of the steps, warm-up included, after which the decay begins
};

// The factor on every learning rate at `step` in [0, total_steps): (step + 1) / warmup during warm-up, 1 at its end.
double learning_rate_factor(const ScheduleOptions& options, std::int64_t step);

}  // namespace tercet
