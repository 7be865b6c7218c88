// The schema table of family files: rows as in schema.hpp.
#pragma once

#include <span>

#include "config/schema.hpp"
#include "tercet/config/family_config.hpp"

namespace tercet::config {

std::span<const Row<FamilyConfig>> family_rows();
std::span<const Row<FamilyModel>> family_model_rows();    // of one item of models
std::span<const Row<FamilyTarget>> family_target_rows();  // of one item of targets
std::span<const SectionRow> family_sections();            // "packing", "regression.perplexity", ...
std::span<const SectionRow> family_settings();            // keys whose values are keys of a job: "defaults", ...

std::string type_name(const Row<FamilyConfig>& row);
std::string type_name(const Row<FamilyModel>& row);
std::string type_name(const Row<FamilyTarget>& row);

}  // namespace tercet::config
