// Defaults that depend on the size of the model, as the original system had them, or on another key.
#include <algorithm>

#include "tercet/config/job_config.hpp"

namespace tercet {
namespace {

struct SizeCategory {
  const char* name;
  std::int64_t below;  // parameters
  std::int64_t calibration_samples;
  double compression_target;
};

constexpr SizeCategory kCategories[] = {
    {"tiny", 50'000'000, 500, 6},
    {"small", 500'000'000, 1000, 8},
    {"medium", 2'000'000'000, 2000, 10},
};
constexpr SizeCategory kLarge = {"large", 0, 5000, 12};

const SizeCategory& category_of(std::int64_t parameters) {
  for (const SizeCategory& category : kCategories) {
    if (parameters < category.below) return category;
  }
  return kLarge;
}

}  // namespace

bool is_written(const JobConfig& config, std::string_view key) {
  return std::find(config.written.begin(), config.written.end(), key) != config.written.end();
}

std::string size_category(std::int64_t parameters) {
  return category_of(parameters).name;
}
double compression_target(std::int64_t parameters) {
  return category_of(parameters).compression_target;
}

void adapt_to_size(JobConfig& config, std::int64_t parameters) {
  const SizeCategory& category = category_of(parameters);
  if (!config.calibration.samples) config.calibration.samples = category.calibration_samples;
  // What was asked for is what the result is judged by.
  if (config.target.ratio > 0 && !is_written(config, "gates.compression.threshold"))
    config.gates.compression.threshold = config.target.ratio;
  if (config.target.perplexity_degradation > 0 && !is_written(config, "gates.perplexity.threshold"))
    config.gates.perplexity.threshold = config.target.perplexity_degradation;
  // A written 0 asks for the target of the category in so many words.
  if (config.gates.compression.threshold == 0) config.gates.compression.threshold = category.compression_target;
}

}  // namespace tercet
