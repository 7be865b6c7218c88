// Rules between keys: each value is fine by itself, together they cannot work.
#pragma once

#include "config/problems.hpp"
#include "config/reader.hpp"

namespace tercet::config {

void check_relations(const JobConfig& config, const Reader& reader, Problems& problems);

}  // namespace tercet::config
