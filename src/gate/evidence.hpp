// The sentences that a verdict rests on: always with the figures, so that no one has to trust the verdict.
#pragma once

#include <string>

#include "tercet/gate/gates.hpp"

namespace tercet::gate {

// Plain decimal notation without needless zeros: "6", "0.1", "0.995".
std::string short_number(double value);
std::string percent(double share);  // "31.4 %"

std::string compression_evidence(const GatesSection& rules, const Measurements& measured, double target);
std::string sparsity_evidence(const Measurements& measured);
std::string accuracy_evidence(const GatesSection& rules, const Measurements& measured);
std::string perplexity_evidence(const Measurements& measured);
std::string agreement_evidence(const Measurements& measured);
std::string speedup_evidence(const GatesSection& rules, const Measurements& measured);

}  // namespace tercet::gate
