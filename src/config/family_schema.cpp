#include "config/family_schema.hpp"

#include "config/element_rows.hpp"

namespace tercet::config {
namespace {

// clang-format off
const Row<FamilyConfig> kFamilyRows[] = {
  {"name", TERCET_OF(FamilyConfig, name), "", any(), kNoMark,
   "What the family is called in tables."},
  {"output", TERCET_OF(FamilyConfig, output), "", path(), kNoMark,
   "Folder of everything: runs, nights, history, and the published models."},
  {"keep", TERCET_OF(FamilyConfig, keep), "", between(1, 100000), kNoMark,
   "How many publications of an element stay, the latest among them; older ones are removed."},

  TERCET_ELEMENT_ROWS(FamilyConfig),

  {"regression.perplexity.severity", TERCET_OF(FamilyConfig, regression.perplexity.severity), "", {.choices = kSeverities}, kNoMark,
   "What a miss means: nothing is published, a warning, or it is not judged."},
  {"regression.perplexity.tolerance", TERCET_OF(FamilyConfig, regression.perplexity.threshold), "", between(0, 1000), kNoMark,
   "The packed model's perplexity may be at most 1 + this times that of the last accepted run."},
  {"regression.accuracy.severity", TERCET_OF(FamilyConfig, regression.accuracy.severity), "", {.choices = kSeverities}, kNoMark,
   "What a miss means."},
  {"regression.accuracy.tolerance", TERCET_OF(FamilyConfig, regression.accuracy.threshold), "", between(0, 1), kNoMark,
   "Its next-token accuracy must be at least 1 - this times that of the last accepted run."},
  {"regression.packed_bytes.severity", TERCET_OF(FamilyConfig, regression.packed_bytes.severity), "", {.choices = kSeverities}, kNoMark,
   "What a miss means."},
  {"regression.packed_bytes.tolerance", TERCET_OF(FamilyConfig, regression.packed_bytes.threshold), "", between(0, 1000), kNoMark,
   "The packed file may be at most 1 + this times as large as that of the last accepted run."},
};

const Row<FamilyModel> kModelRows[] = {
  {"name", TERCET_OF(FamilyModel, name), "", any(), kNoMark,
   "Part of folder names: letters, digits, `.`, `_` and `-`."},
  {"path", TERCET_OF(FamilyModel, path), "", path(), kNoMark,
   "Hugging Face folder of the model; the job's `model.path`."},
  {"ranks", TERCET_OF(FamilyModel, ranks), "", between(1, kMostRanks), kNoMark,
   "Instead of `packing.ranks`."},
  {"cpus", TERCET_OF(FamilyModel, cpus), "CPUs", between(0, kMostSlots), kNoMark,
   "Instead of `packing.cpus`."},
  {"gpus", TERCET_OF(FamilyModel, gpus), "GPUs", between(0, kMostSlots), kNoMark,
   "Instead of `packing.gpus`."},
};

const Row<FamilyTarget> kTargetRows[] = {
  {"name", TERCET_OF(FamilyTarget, name), "", any(), kNoMark,
   "Part of folder names: letters, digits, `.`, `_` and `-`."},
};
// clang-format on

constexpr SectionRow kFamilySections[] = {
    kPackingSection,
    kLimitsSection,
    {"regression", "Gates against the last accepted run of the same element, besides the job's own gates."},
    {"regression.perplexity", "Perplexity does not creep up from night to night."},
    {"regression.accuracy", "Next-token accuracy does not creep down."},
    {"regression.packed_bytes", "The packed file does not grow."},
};

constexpr SectionRow kSettings[] = {
    {"defaults", "Keys of a job, for every element."},
    {"models[].settings", "Keys of a job, laid over the defaults for this model."},
    {"targets[].settings", "Keys of a job, laid over defaults and model for this target."},
};

}  // namespace

std::span<const Row<FamilyConfig>> family_rows() {
  return kFamilyRows;
}
std::span<const Row<FamilyModel>> family_model_rows() {
  return kModelRows;
}
std::span<const Row<FamilyTarget>> family_target_rows() {
  return kTargetRows;
}
std::span<const SectionRow> family_sections() {
  return kFamilySections;
}
std::span<const SectionRow> family_settings() {
  return kSettings;
}

}  // namespace tercet::config
