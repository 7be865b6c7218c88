#include "tercet/train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tercet {

double learning_rate_factor(const ScheduleOptions& options, std::int64_t step) {
  if (step < options.warmup_steps) return static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  const std::int64_t held = std::lround(options.hold * static_cast<double>(options.total_steps));
  const std::int64_t begin = std::max(options.warmup_steps, held);
  if (options.decay == "constant" || step < begin) return 1.0;
  const std::int64_t decaying = std::max<std::int64_t>(1, options.total_steps - begin);
  const double progress = std::min(1.0, static_cast<double>(step - begin) / static_cast<double>(decaying));
  const double remaining = options.decay == "cosine" ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  const double factor = options.final_factor + (1 - options.final_factor) * remaining;
  const double second_stage = options.second_stage_at * static_cast<double>(options.total_steps);
  const bool second = options.decay == "two_stage" && static_cast<double>(step) >= second_stage;
  return second ? options.second_stage * factor : factor;
}

}  // namespace tercet
