// What to try when a gate failed: which remedy can help, and what it changes. Nothing here computes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rounds.hpp"
#include "storage_plan.hpp"
#include "tercet/config/job_config.hpp"
#include "tercet/model/decoder.hpp"

namespace tercet::job {

// Size and share of zeros are what the formats make them, and the checks of the files know no better and worse: a
// remedy is for accuracy and perplexity.
bool can_help(const std::string& gate);

struct RemedyRequest {
  std::int64_t rounds = 0;           // budget
  std::vector<std::string> order;    // remedies that may be tried
  std::vector<std::string> failed;   // gates
  std::vector<std::string> tried;    // remedies so far, in the whole job
  std::vector<std::string> at_this;  // those of them that were for the stage that failed now
  std::function<std::string(const std::string& remedy)> obstacle;  // why this one cannot be tried; "": it can
};
struct RemedyChoice {
  std::string remedy;  // "": none
  std::string reason;  // why this one, or why none
};
// Of those without an obstacle the one that was tried most seldom for this stage; of several, the first of `order`.
RemedyChoice choose_remedy(const RemedyRequest& request);

struct FormatChange {
  std::vector<ParameterPlan> storage;  // empty: nothing to change
  std::string did;                     // in words
};
// The share of the matrices inside the blocks (at least one) whose weighted errors are the largest get the next higher
// format: trits and int2 become int3, then int4, int6, int8, fp16. A group that does not divide the width becomes the
// largest that does, or a row.
FormatChange lift_layers(const QuantizationSection& settings, const std::vector<Parameter>& parameters,
                         const std::vector<ParameterPlan>& storage, const std::vector<LayerRecord>& layers,
                         double share);
// Every group of matrices inside the blocks that can be is halved.
FormatChange halve_groups(const std::vector<Parameter>& parameters, const std::vector<ParameterPlan>& storage);

}  // namespace tercet::job
