#include "model_fit.hpp"

#include <map>
#include <numeric>

#include "layer_formats.hpp"
#include "tercet/base/error.hpp"
#include "tercet/quant/number_format.hpp"

namespace tercet::job {
namespace {

// Of the matrices whose groups of one size end in a short one.
struct ShortGroups {
  int matrices = 0;
  std::int64_t width = 0, common = 0;  // of the first; greatest common divisor of all widths with that group size
};

std::map<std::int64_t, ShortGroups> short_groups(const std::vector<Parameter>& parameters,
                                                 const std::vector<ParameterPlan>& storage) {
  std::map<std::int64_t, ShortGroups> by_size;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!storage[i].spec || !storage[i].spec->format->is_grid()) continue;
    const FormatSpec& spec = *storage[i].spec;
    if (spec.granularity != Granularity::kGroup) continue;
    const std::int64_t width = output_first_shape(parameters[i])[1];
    ShortGroups& groups = by_size[spec.group_size];
    groups.common = std::gcd(groups.common, width);
    if (width % spec.group_size == 0) continue;
    if (groups.matrices++ == 0) groups.width = width;
  }
  return by_size;
}

std::string matrices_text(int count) {
  return std::to_string(count) + (count == 1 ? " matrix" : " matrices");
}

}  // namespace

void check_fit(const JobConfig& config, const ModelConfig& model) {
  const TrainingSection& training = config.training;
  if (training.enabled && training.relation_loss > 0 && training.relation_block > model.layers) {
    throw ConfigError("training.relation_block: " + std::to_string(training.relation_block) + " names no block",
                      "the model has " + std::to_string(model.layers) + " of them",
                      "1 is the last block, " + std::to_string(model.layers) + " the first");
  }
}

std::vector<std::string> fit_notes(const JobConfig& config, const Decoder& model,
                                   const std::vector<ParameterPlan>& storage) {
  std::vector<std::string> notes;
  for (const auto& [size, groups] : short_groups(model.parameters(), storage)) {
    if (groups.matrices == 0) continue;
    std::string note = "groups of " + std::to_string(size) + " do not divide the rows of " +
                       matrices_text(groups.matrices) + ": of " + std::to_string(groups.width) +
                       " inputs the last group has " + std::to_string(groups.width % size);
    const std::int64_t works = nearest_divisor(groups.common, size);
    if (works > 0) note += "; " + std::to_string(works) + " divides all of them";
    notes.push_back(note);
  }
  const std::int64_t blocks = model.config().layers;
  if (config.blockwise.enabled && config.blockwise.window > blocks) {
    notes.push_back("blockwise.window: " + std::to_string(config.blockwise.window) + " is more than the model's " +
                    std::to_string(blocks) + " blocks, which are tuned together");
  }
  return notes;
}

}  // namespace tercet::job
