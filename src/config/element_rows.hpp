// Rows of the schema that every file of elements has: what an element takes of its node, and when it is given up.
#pragma once

#include <cstddef>

#include "config/schema.hpp"
#include "tercet/config/element_config.hpp"

namespace tercet::config {

constexpr std::size_t kMostElements = 4096;  // of one file
constexpr double kMostRanks = 1 << 20, kMostSlots = 65536;
// Such a file has no fingerprint; its elements' jobs have theirs. So no key is marked as one without effect.
constexpr Effect kNoMark = Effect::kResults;

// The address of a field as a plain function.
#define TERCET_OF(Owner, member) \
  +[](Owner & owner) -> auto& {  \
    return owner.member;         \
  }

// clang-format off
#define TERCET_ELEMENT_ROWS(Owner) \
  {"packing.ranks", TERCET_OF(Owner, packing.ranks), "", {.low = 1, .high = kMostRanks}, kNoMark, \
   "Ranks of one element."}, \
  {"packing.cpus", TERCET_OF(Owner, packing.cpus), "CPUs", {.low = 0, .high = kMostSlots}, kNoMark, \
   "CPUs that one element has for itself; 0: all of them, so that elements run one after the other."}, \
  {"packing.gpus", TERCET_OF(Owner, packing.gpus), "GPUs", {.low = 0, .high = kMostSlots}, kNoMark, \
   "GPUs that one element has for itself, one for each rank; 0: elements see no GPU."}, \
  {"packing.at_once", TERCET_OF(Owner, packing.at_once), "elements", {.low = 0, .high = kMostSlots}, kNoMark, \
   "Most elements at the same time on a node (memory is not counted); 0: as many as CPUs and GPUs allow."}, \
  {"limits.attempts", TERCET_OF(Owner, limits.attempts), "", {.low = 1, .high = 1000}, kNoMark, \
   "An element that ended so often without a verdict, and not on request, is given up: in a family for the night, in a study until it is started again."}, \
  {"limits.idle_attempts", TERCET_OF(Owner, limits.idle_attempts), "", {.low = 1, .high = 1000}, kNoMark, \
   "It is also given up after so many such ends in a row that left no new checkpoint, stage or finished work behind."}
// clang-format on

constexpr SectionRow kPackingSection = {
    "packing", "What one element takes of a node; small elements run side by side on CPUs and GPUs of their own."};
constexpr SectionRow kLimitsSection = {"limits", "When an element is given up, so that it never holds up the others."};

}  // namespace tercet::config
