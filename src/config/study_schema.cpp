#include "config/study_schema.hpp"

#include "config/element_rows.hpp"

namespace tercet::config {
namespace {

// clang-format off
const Row<StudyConfig> kStudyRows[] = {
  {"name", TERCET_OF(StudyConfig, name), "", {}, kNoMark,
   "What the study is called in its tables."},
  {"output", TERCET_OF(StudyConfig, output), "", {.path = true}, kNoMark,
   "Folder of everything: run folders, tables, plots."},
  {"base", TERCET_OF(StudyConfig, base), "", {.path = true}, kNoMark,
   "Configuration of a job that all rows start from; its `name`, `output` and `seed` do not count."},
  {"control", TERCET_OF(StudyConfig, control), "", {}, kNoMark,
   "Also fine-tune the original in full precision on the same tokens, once for each seed, and compare every row with that."},

  TERCET_ELEMENT_ROWS(StudyConfig),
};
// clang-format on

constexpr SectionRow kStudySections[] = {kPackingSection, kLimitsSection};

constexpr SectionRow kSettings[] = {
    {"seeds", "List of whole numbers, `[1, 2, 3]` unless given: every row is run once with each as the job's `seed`."},
    {"settings", "Keys of a job, laid over the base for every row and for the control."},
    {"rows", "List of `{name, set}`: `set` has keys of a job, with dots (`training.tokens: 1e6`), that make the row."},
    {"vary", "Instead of `rows`: keys of a job, with dots, each with a list of values; every combination is a row."},
};

}  // namespace

std::span<const Row<StudyConfig>> study_rows() {
  return kStudyRows;
}
std::span<const SectionRow> study_sections() {
  return kStudySections;
}
std::span<const SectionRow> study_settings() {
  return kSettings;
}

}  // namespace tercet::config
