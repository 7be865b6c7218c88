// What an exception for some matrices changes, and what a target asks for.
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

}  // namespace tercet
