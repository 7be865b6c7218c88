// What automatic bits per layer decided, for people and for the run file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bit_choices.hpp"
#include "tercet/allocate/loss_search.hpp"

namespace tercet::job {

struct BitAllocation {
  Choice choice;                            // bytes: of the packed file, as predicted
  std::vector<std::vector<double>> losses;  // of each free layer's formats
  std::optional<std::uint64_t> budget;      // bytes; nullopt: a perplexity target
  std::vector<Trial> rounds;                // of a perplexity target: predicted and measured growth of the loss, nats
  std::optional<double> predicted_growth;   // of the loss on text, nats per token; unknown where `error` alone tells
  bool exact = true;                        // the frontier was not thinned
};

// A row for each block, a column for each role, e.g. "int3"; tables first. Groups are named where they are not those of
// the settings.
std::string allocation_table(const QuantizationSection& settings, const Decoder& model, const BitChoices& choices,
                             const Choice& choice);
// What the run file keeps as kAllocationKey.
nlohmann::json allocation_record(const JobConfig& config, const Decoder& model, const BitChoices& choices,
                                 const BitAllocation& allocation);

}  // namespace tercet::job
