// What an exception for some matrices changes, what a target asks for, and how rounds share tokens.
#include "tercet/config/job_config.hpp"

namespace tercet {

bool is_ternary(const std::string& format) {
  return format.starts_with("ternary");
}

bool takes_rule(const std::string& format, const std::string& rule) {
  if (rule == "calibrated") return true;
  return is_ternary(format) ? rule == "absmean" || rule == "least_squares" : rule == "min_max";
}

QuantizationSection as_for(const QuantizationSection& settings, const LayerFormat& row) {
  QuantizationSection result = settings;
  if (!row.format.empty()) result.format = row.format;
  if (!row.granularity.empty()) result.granularity = row.granularity;
  if (row.group_size) result.group_size = *row.group_size;
  if (!row.rule.empty()) {
    result.rule = row.rule;
  } else if (!takes_rule(result.format, result.rule)) {
    result.rule = "calibrated";
  }
  if (!row.symmetric.empty()) {
    result.symmetric = row.symmetric == "true";
  } else if (is_ternary(result.format)) {
    result.symmetric = true;
  }
  return result;
}

bool has_target(const JobConfig& config) {
  const TargetSection& target = config.target;
  return target.perplexity_degradation > 0 || target.size_mb > 0 || target.ratio > 0 || target.like != "none";
}

bool streams_weights(const JobConfig& config) {
  return config.model.weights == "streamed";
}

std::int64_t tokens_of_stage(const JobConfig& config, std::size_t stage, std::int64_t tokens) {
  const std::size_t stages = config.progressive.formats.size();
  if (stages < 2) return tokens;
  const std::int64_t step = config.training.global_batch_tokens;
  const double others = (1 - config.progressive.last_share) / static_cast<double>(stages - 1);
  const auto whole_steps = [&](double share) {
    return static_cast<std::int64_t>(share * static_cast<double>(tokens)) / step * step;
  };
  const std::int64_t before = static_cast<std::int64_t>(stages - 1) * whole_steps(others);
  return stage + 1 == stages ? (tokens - before) / step * step : whole_steps(others);
}

std::int64_t tokens_of_remedy(const JobConfig& config) {
  const std::int64_t step = config.training.global_batch_tokens;
  if (!config.training.enabled || config.remedies.rounds < 1) return 0;
  return config.remedies.tokens / config.remedies.rounds / step * step;
}

}  // namespace tercet
