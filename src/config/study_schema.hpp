// The schema table of study files: rows as in schema.hpp.
#pragma once

#include <span>

#include "config/schema.hpp"
#include "tercet/config/study_config.hpp"

namespace tercet::config {

std::span<const Row<StudyConfig>> study_rows();
std::span<const SectionRow> study_sections();  // "packing", "limits"
std::span<const SectionRow> study_settings();  // keys that are no plain values: "settings", "rows", ...

std::string type_name(const Row<StudyConfig>& row);

}  // namespace tercet::config
