// How many weights of each ternary layer are -1, 0 and 1.
#pragma once

#include <vector>

#include "tercet/artifact/packed_model.hpp"
#include "tercet/report/run_view.hpp"

namespace tercet::job {

std::vector<TritCounts> trit_counts(const PackedModel& model);  // of tensors whose format counts zeros

}  // namespace tercet::job
